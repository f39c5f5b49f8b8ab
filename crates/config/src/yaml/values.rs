//! Go's plain types as the decoder fills and prints them: strings, booleans, numbers, pointers, lists and maps.

use std::collections::BTreeMap;

use ferula_go::quote::{go_quote, go_quote_bytes};

use super::decode::{Decoder, Value};
use super::dialect::Dialect;
use super::emit::PrintedValue;
use super::resolve::Resolved;
use super::tree::{NodeId, NodeKind, Step};
use crate::error::Problem;
use crate::scalars::{Int64, Uint64};

impl Value for String {
    fn zero() -> Self {
        String::new()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if let Some(bytes) = d.text(id)? {
            *self = String::from_utf8(bytes).map_err(|error| {
                d.problem(format!("{} is not valid UTF-8", go_quote_bytes(error.as_bytes())))
            })?;
        }
        Ok(())
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.clone())
    }
}

impl Value for bool {
    fn zero() -> Self {
        false
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if let NodeKind::Scalar(scalar) = &d.node(id).kind
            && let Resolved::Bool(value) = d.resolve(scalar)?
        {
            *self = value;
            return Ok(());
        }
        d.wrong_type(id, "bool")
    }

    fn go_type() -> String {
        "bool".into()
    }

    fn is_zero(&self) -> bool {
        !*self
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Plain(self.to_string())
    }
}

/// A float that fills a whole number, as Go converts it on x86-64: one that is too small becomes the smallest, one that
/// is too large is refused, and so is NaN.
fn go_int64(float: f64) -> Option<i64> {
    // 2^63 itself is accepted and wraps around.
    (float <= i64::MAX as f64).then(|| {
        let in_range = float > i64::MIN as f64 && float < i64::MAX as f64;
        if in_range { float as i64 } else { i64::MIN }
    })
}

fn go_uint64(float: f64) -> Option<u64> {
    let half = i64::MAX as f64;
    if float < half {
        return go_int64(float).map(|int| int.cast_unsigned());
    }
    // 2^64 itself is accepted, and becomes 2^63.
    (float <= u64::MAX as f64).then_some(if float < u64::MAX as f64 { float as u64 } else { 1 << 63 })
}

/// Whole numbers: integers in range, and floats that Go converts.
fn whole_number<T: TryFrom<i128>>(
    id: NodeId,
    d: &mut Decoder<'_>,
    convert: fn(f64) -> Option<T>,
    go: &str,
) -> Result<Option<T>, Problem> {
    if let NodeKind::Scalar(scalar) = &d.node(id).kind {
        let found = match d.resolve(scalar)? {
            Resolved::Int(int) => T::try_from(int).ok(),
            Resolved::Float(float) => convert(float),
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    d.wrong_type(id, go)?;
    Ok(None)
}

macro_rules! whole_number {
    ($($ty:ty { $($field:tt)? } as $go:literal by $convert:ident),*) => {$(
        impl Value for $ty {
            fn zero() -> Self {
                Self::default()
            }

            fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
                if let Some(found) = whole_number(id, d, $convert, $go)? {
                    (*self)$(.$field)? = found;
                }
                Ok(())
            }

            fn go_type() -> String {
                $go.into()
            }

            fn is_zero(&self) -> bool {
                (*self)$(.$field)? == 0
            }

            fn print(&self) -> PrintedValue {
                PrintedValue::Plain((*self)$(.$field)?.to_string())
            }
        }
    )*};
}
whole_number!(
    i64 {} as "int" by go_int64,
    u64 {} as "uint" by go_uint64,
    Int64 { 0 } as "int64" by go_int64,
    Uint64 { 0 } as "uint64" by go_uint64
);

impl Value for f64 {
    fn zero() -> Self {
        0.0
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if let NodeKind::Scalar(scalar) = &d.node(id).kind {
            match d.resolve(scalar)? {
                Resolved::Int(int) => *self = int as f64,
                Resolved::Float(float) => *self = float,
                _ => return d.wrong_type(id, "float64"),
            }
            return Ok(());
        }
        d.wrong_type(id, "float64")
    }

    fn go_type() -> String {
        "float64".into()
    }

    fn is_zero(&self) -> bool {
        *self == 0.0
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Plain(match *self {
            v if v.is_nan() => ".nan".into(),
            f64::INFINITY => ".inf".into(),
            f64::NEG_INFINITY => "-.inf".into(),
            v => ferula_go::float::format_g(v),
        })
    }
}

/// Go's pointer: absent, or a value of its own.
impl<T: Value> Value for Option<T> {
    fn zero() -> Self {
        None
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.get_or_insert_with(T::zero).decode(id, d)
    }

    fn go_type() -> String {
        let name = T::go_type();
        if name.starts_with('*') { name } else { format!("*{name}") }
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn print(&self) -> PrintedValue {
        self.as_ref().map_or(PrintedValue::Null, Value::print)
    }

    fn join_directory(&mut self, dir: &str) {
        if let Some(value) = self {
            value.join_directory(dir);
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn zero() -> Self {
        Vec::new()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let NodeKind::Sequence(items) = &d.node(id).kind else { return d.wrong_type(id, &Self::go_type()) };
        self.clear();
        for (index, item) in items.iter().enumerate() {
            if d.skips_item(*item)? {
                continue;
            }
            let mut value = T::zero();
            d.step(Step::Index(index), |d| d.read(&mut value, *item))?;
            self.push(value);
        }
        Ok(())
    }

    fn go_type() -> String {
        match T::go_type().as_str() {
            // The only list with a name of its own.
            "*config.AlertmanagerConfig" => "config.AlertmanagerConfigs".to_owned(),
            name => format!("[]{name}"),
        }
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::List { items: self.iter().map(Value::print).collect(), flow: false }
    }

    fn join_directory(&mut self, dir: &str) {
        for value in self {
            value.join_directory(dir);
        }
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn zero() -> Self {
        BTreeMap::new()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let NodeKind::Mapping(entries) = &d.node(id).kind else { return d.wrong_type(id, &Self::go_type()) };
        if d.dialect != Dialect::V2 {
            for (key, _, value_id) in d.own_then_merged(id)? {
                let mut value = T::zero();
                d.step(Step::Key(key.clone()), |d| d.read(&mut value, value_id))?;
                self.insert(key, value);
            }
            return Ok(());
        }
        for (key_id, value_id) in entries {
            if d.is_merge(*key_id) {
                for merged in d.merged(*value_id)? {
                    d.through_alias(merged, &mut |target, d| self.decode(target, d))?;
                }
                continue;
            }
            let before = d.errors();
            let (mut key, mut value) = (String::new(), T::zero());
            d.read(&mut key, *key_id)?;
            if d.errors() > before {
                continue;
            }
            d.step(Step::Key(key.clone()), |d| d.read(&mut value, *value_id))?;
            if d.errors() > before {
                continue;
            }
            if self.contains_key(&key) {
                let line = d.node(*value_id).mark.line;
                d.type_error(line, &format!("key {} already set in map", go_quote(&key)));
                continue;
            }
            self.insert(key, value);
        }
        Ok(())
    }

    fn go_type() -> String {
        format!("map[string]{}", T::go_type())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Map(self.iter().map(|(key, value)| (key.clone(), value.print())).collect())
    }
}
