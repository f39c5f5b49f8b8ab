//! Parts of a query that have the same value at every step (fixed by `@`, or made of constants) run once. The
//! highest such node is wrapped, except range vectors, which the functions over them read directly.
//!
//! Before: `sum(x @ 10) / rate(y[5m])` · after: `once(sum(x @ 10)) / rate(y[5m])`.

use ferula_promql_syntax::functions::Dependence;

use crate::plan::node::{Node, NodeKind};

/// What is known of a node.
#[derive(Clone, Copy)]
struct Verdict {
    /// It has the same value at every step.
    invariant: bool,
    /// It is worth being wrapped when its parent is not invariant.
    wrap: bool,
}

impl Verdict {
    const fn both(yes: bool) -> Self {
        Verdict { invariant: yes, wrap: yes }
    }
}

/// Wraps the invariant parts of a query.
pub(in crate::plan) fn rewrite(root: &mut Node) {
    if judge(root).wrap {
        wrap(root);
    }
}

fn wrap(node: &mut Node) {
    let (span, value_type) = (node.span, node.value_type);
    let hole = Node { kind: NodeKind::Number(0.0), span, value_type };
    let inner = std::mem::replace(node, hole);
    node.kind = NodeKind::StepInvariant(Box::new(inner));
}

fn judge(node: &mut Node) -> Verdict {
    match &mut node.kind {
        NodeKind::Number(_) | NodeKind::String(_) => Verdict { invariant: true, wrap: false },
        NodeKind::Selector(selector) => Verdict::both(selector.lookup.at_ms.is_some()),
        NodeKind::Range(range) => Verdict { invariant: range.selector.lookup.at_ms.is_some(), wrap: false },
        NodeKind::StepInvariant(_) => Verdict { invariant: true, wrap: false },
        NodeKind::Subquery(subquery) => {
            // The inside is wrapped whatever surrounds the subquery: it has a grid of its own.
            if judge(&mut subquery.inner).invariant {
                wrap(&mut subquery.inner);
            }
            Verdict { invariant: subquery.lookup.at_ms.is_some(), wrap: false }
        }
        NodeKind::Unary(_, inner) => judge(inner),
        NodeKind::Aggregate(aggregate) => {
            if let Some(param) = &mut aggregate.param
                && judge(param).wrap
            {
                wrap(param);
            }
            judge(&mut aggregate.inner)
        }
        NodeKind::Binary(binary) => {
            let (left, right) = (judge(&mut binary.left), judge(&mut binary.right));
            if left.invariant && right.invariant {
                return Verdict::both(true);
            }
            if left.wrap {
                wrap(&mut binary.left);
            }
            if right.wrap {
                wrap(&mut binary.right);
            }
            Verdict::both(false)
        }
        NodeKind::Call(call) => {
            let verdicts: Vec<Verdict> = call.args.iter_mut().map(judge).collect();
            let all_invariant = verdicts.iter().all(|verdict| verdict.invariant);
            let steady = match call.function.depends_on {
                Dependence::Arguments => true,
                // The sample times of a selector that is fixed by `@` are fixed as well.
                Dependence::SampleTimes => {
                    call.args.iter().all(|arg| matches!(arg.kind, NodeKind::Selector(_)))
                }
                // A call that depends on the query's times is a number by now.
                Dependence::StepTime | Dependence::QueryTimes => false,
            };
            if all_invariant && steady {
                return Verdict::both(true);
            }
            for (arg, verdict) in call.args.iter_mut().zip(verdicts) {
                if verdict.wrap {
                    wrap(arg);
                }
            }
            Verdict::both(false)
        }
    }
}
