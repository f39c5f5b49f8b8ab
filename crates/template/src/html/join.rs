//! Where ways through a template meet: branches, loops, and what errors say about it.

use super::context::{Context, Problem, Slash, State, UrlPart};
use crate::tree::Source;

/// Where the running loop is left or begun again.
#[derive(Default)]
pub(super) struct Loop {
    pub breaks: Vec<(Context, usize)>,
    pub continues: Vec<(Context, usize)>,
}

impl Source {
    /// `NAME:LINE:COLUMN`, and the line.
    pub(super) fn location(&self, position: usize) -> (String, usize) {
        let before = &self.text[..position.min(self.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        (format!("{}:{line}:{column}", self.name), line)
    }

    pub(super) fn problem(&self, position: usize, text: String) -> Context {
        let (location, line) = self.location(position);
        Context::failed(Problem { location: Some(location), line, text })
    }
}

/// The context after either of two branches; an error if templates cannot run on from both.
pub(super) fn join(a: &Context, b: &Context, source: &Source, position: usize, word: &str) -> Context {
    match (a.state, b.state) {
        (State::Error, _) | (_, State::Dead) => return a.clone(),
        (_, State::Error) | (State::Dead, _) => return b.clone(),
        _ => {}
    }
    if a.is_same(b) {
        return a.clone();
    }
    if (Context { url_part: b.url_part, ..a.clone() }).is_same(b) {
        return Context { url_part: UrlPart::Unknown, ..a.clone() };
    }
    if (Context { slash: b.slash, ..a.clone() }).is_same(b) {
        return Context { slash: Slash::Unknown, ..a.clone() };
    }
    let (nudged_a, nudged_b) = (a.nudged(), b.nudged());
    if !(nudged_a.is_same(a) && nudged_b.is_same(b)) {
        let joined = join(&nudged_a, &nudged_b, source, position, word);
        if joined.state != State::Error {
            return joined;
        }
    }
    source.problem(position, format!("{{{{{word}}}}} branches end in different contexts: {a}, {b}"))
}

pub(super) fn join_loop(mut end: Context, ways: &Loop, source: &Source) -> Context {
    for (points, word) in [(&ways.breaks, "break"), (&ways.continues, "continue")] {
        for (context, position) in points {
            end = join(&end, context, source, *position, "range");
            if let Some(problem) = &end.problem {
                let text = format!("at range loop {word}: {}", problem.text);
                return Context::failed(Problem { text, ..Problem::clone(problem) });
            }
        }
    }
    end
}
