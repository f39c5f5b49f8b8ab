//! `ferula/damage`: what was found missing or damaged in the data directory since the start.

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::request::Request;

/// `/api/v1/ferula/damage`: each place with its kind, file, range of bytes, what is wrong, the cost, and where the damaged
/// file is kept; oldest first.
pub fn damage(api: &Api, _: &Request) -> Handled {
    let damages = api.store.admin.damages();
    Ok(Answer::json(move |json| {
        json.begin_array();
        for damage in &damages {
            json.begin_object();
            json.field("kind", damage.kind.name());
            json.field("file", &damage.path.display().to_string());
            if let Some(bytes) = &damage.bytes {
                for (key, offset) in [("from", bytes.start), ("to", bytes.end)] {
                    json.key(key);
                    json.uint(offset);
                }
            }
            json.field("what", &damage.what);
            json.field("cost", &damage.cost);
            if let Some(kept) = &damage.kept {
                json.field("keptAs", &kept.display().to_string());
            }
            json.end_object();
        }
        json.end_array();
    }))
}
