//! In which order do the stages of a pipeline file follow each other?
//!
//! A stage reads from the one above it, or from the one its `input` names; so a file may list its
//! stages in any order. What comes out is the order in which the bytes pass them; several ends
//! that read from the same stage are the last.

use std::collections::HashMap;

use crate::args::{SavedStage, UsageError, Work, nearest};

/// Puts stages in order, upstream first.
///
/// # Errors
/// If an `input` names no stage or one that gives nothing, if stages read in a circle, if there is
/// more than one source, or if two read from one.
pub(super) fn order(stages: Vec<SavedStage>) -> Result<Vec<SavedStage>, UsageError> {
    let inputs = inputs(&stages)?;
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); stages.len()];
    for (at, input) in inputs.iter().enumerate() {
        let Some(input) = *input else { continue };
        readers[input].push(at);
        if let [first, .., _] = readers[input][..]
            && let Some(other) = [first, at].into_iter().find(|at| !is_last(&stages[*at]))
        {
            let names = [first, at].map(|stage| format!("`{}`", stages[stage].id));
            return Err(refused(
                &stages[other],
                format!(
                    "{} read from `{}`, and several can if each has `to`",
                    names.join(" and "),
                    stages[input].id
                ),
                "let one of them read from the other",
            ));
        }
    }
    let mut sources = inputs.iter().enumerate().filter(|(_, input)| input.is_none());
    let first = sources.next().map(|(at, _)| at);
    if let Some((second, _)) = sources.next() {
        return Err(refused(
            &stages[second],
            format!("`{}` is a second source", stages[second].id),
            "a pipeline has one stage with `from`, the first",
        ));
    }
    let mut order = Vec::with_capacity(stages.len());
    let mut reached = vec![false; stages.len()];
    let mut at = first;
    // no circle can be entered from outside: each stage reads from one
    while let Some(stage) = at {
        order.push(stage);
        reached[stage] = true;
        at = match readers[stage][..] {
            [next] => Some(next),
            _ => None,
        };
    }
    for end in order.last().map_or(&[][..], |last| &readers[*last]) {
        order.push(*end);
        reached[*end] = true;
    }
    if let Some(lost) = reached.iter().position(|reached| !reached) {
        let stage = &stages[lost];
        let what = format!("`{}` reads from itself, through its `input`", stage.id);
        return Err(refused(stage, what, "let `input` name a stage that does not read from it"));
    }
    let mut stages: Vec<Option<SavedStage>> = stages.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| stages[at].take()).collect())
}

/// Finds the stage that each reads from.
fn inputs(stages: &[SavedStage]) -> Result<Vec<Option<usize>>, UsageError> {
    let ids: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(at, stage)| (stage.id.as_str(), at)).collect();
    let input = |(at, stage): (usize, &SavedStage)| {
        let input = match (&stage.input, &stage.work) {
            (_, Work::From(_)) => return Ok(None),
            (None, _) if at == 0 => return Ok(None),
            (None, _) => at - 1,
            (Some(id), _) => *ids.get(id.as_str()).ok_or_else(|| unknown(stage, id, stages))?,
        };
        if let Work::To(_) = stages[input].work {
            return Err(refused(
                stage,
                format!("`{}` reads from `{}`, which gives nothing", stage.id, stages[input].id),
                "a stage with `to` is a last one; name another by `input`",
            ));
        }
        Ok(Some(input))
    };
    stages.iter().enumerate().map(input).collect()
}

fn is_last(stage: &SavedStage) -> bool {
    matches!(stage.work, Work::To(_))
}

fn unknown(stage: &SavedStage, id: &str, stages: &[SavedStage]) -> UsageError {
    let ids = || stages.iter().map(|stage| stage.id.as_str());
    let hint = match nearest(id, ids()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`input` names the `id` of another stage".to_owned(),
    };
    let what = format!("no stage has the id `{}`", crate::args::shown(id));
    refused(stage, what, &hint)
}

fn refused(stage: &SavedStage, what: String, hint: &str) -> UsageError {
    UsageError { what, details: vec![format!("in {}", stage.place)], hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Stderr;

    /// Stages as `id<input:work`: work `f` is from, `t` is to, anything else a command.
    fn stages(text: &str) -> Vec<SavedStage> {
        let stage = |word: &str| {
            let (names, work) = word.split_once(':').unwrap_or((word, "x"));
            let (id, input) = match names.split_once('<') {
                Some((id, input)) => (id, Some(input.to_owned())),
                None => (names, None),
            };
            let work = match work {
                "f" => Work::From("f".into()),
                "t" => Work::To("t".into()),
                _ => Work::Shell("x".into()),
            };
            SavedStage {
                id: id.to_owned(),
                place: format!("line of {id}"),
                work,
                input,
                tank: None,
                low: None,
                stderr: Stderr::Prefix,
                overwrite: false,
                append: false,
                full: None,
            }
        };
        text.split(' ').map(stage).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let order = order(stages(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        let ids: Vec<&str> = order.iter().map(|stage| stage.id.as_str()).collect();
        assert_eq!(ids.join(" "), expected, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, what: &str, place: &str) {
        let error = order(stages(text)).expect_err(what);
        assert_eq!(error.what, what, "{text}");
        assert_eq!(error.details, [format!("in line of {place}")], "{text}");
        assert!(error.hint.is_some());
    }

    #[test]
    fn stages_follow_each_other_or_their_inputs() {
        check("a", "a");
        check("a b c", "a b c");
        check("a:f b c:t", "a b c");
        check("a b<a c<b", "a b c");
        check("c<b a:f b<a", "a b c");
        check("a d<c b<a c", "a b c d");
        check("a:f b c:t d<b:t e<b:t", "a b c d e");
        check("d<b:t c<b:t a:f b<a", "a b d c");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        refused("a b<x", "no stage has the id `x`", "b");
        refused("a b<b", "`b` reads from itself, through its `input`", "b");
        refused("a<b b", "`a` reads from itself, through its `input`", "a");
        refused("a c<b b<c", "`c` reads from itself, through its `input`", "c");
        refused("a:f b:f", "`b` is a second source", "b");
        refused("a b:t c", "`c` reads from `b`, which gives nothing", "c");
        refused("a b c<a", "`b` and `c` read from `a`, and several can if each has `to`", "b");
        refused("a b:t c<a:x", "`b` and `c` read from `a`, and several can if each has `to`", "c");
    }

    #[test]
    fn many_stages_are_put_in_order_in_no_time() {
        let text: Vec<String> = (1..50_000).rev().map(|at| format!("s{at}<s{}", at - 1)).collect();
        let order = order(stages(&format!("{} s0:f", text.join(" ")))).expect("a line");
        assert_eq!((order.len(), order[49_999].id.as_str()), (50_000, "s49999"));
    }
}
