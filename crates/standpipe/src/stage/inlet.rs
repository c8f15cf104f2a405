//! How a source brings on what it reads from tanks, and how it lets go of
//! them.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::error::{Cause, CauseKind};
use crate::gate::Flow;
use crate::stage::{Emit, More};
use crate::tank::Readable;

/// Items brought per `read`: enough to hide its cost, few enough to stop soon.
const PER_READ: usize = 64;

/// Waits for one item and brings it, then those that are there already, as
/// long as there is room for them.
///
/// `poll` has to repeat a failure and the end each time it is asked.
pub(crate) async fn forward<T: Send>(
    out: &mut impl Emit<T>,
    mut poll: impl FnMut(&Context<'_>) -> Poll<Option<Result<T, Cause>>> + Send,
) -> Result<More, Cause> {
    let Some(first) = poll_fn(|cx| poll(cx)).await else { return Ok(More::No) };
    let mut item = first?;
    for _ in 1..PER_READ {
        match out.push(item) {
            Ok(Flow::Ready) => {}
            Ok(Flow::Wait) => return Ok(More::Yes), // made visible on return
            Err(item) => {
                out.feed(item).await;
                return Ok(More::Yes); // between two reads a drain is seen
            }
        }
        item = match poll_fn(|cx| Poll::Ready(poll(cx))).await {
            Poll::Ready(Some(Ok(item))) => item,
            Poll::Ready(None) => return Ok(More::No),
            // what was pushed goes first, and the failure is told again
            Poll::Ready(Some(Err(_))) | Poll::Pending => return Ok(More::Yes),
        };
    }
    out.feed(item).await;
    Ok(More::Yes)
}

/// Stops the writers of a tank that a source was destroyed with.
pub(crate) fn stop<T>(readable: Readable<T>, why: Option<&Cause>) {
    if let Some(why) = why {
        readable.stop(stopped(why));
    } // else dropped: its reader had enough
}

/// What upstream is told: nobody reads any more, and why. Only a reader that
/// had enough stops without an error.
fn stopped(why: &Cause) -> Cause {
    if why.kind() == CauseKind::Stopped {
        return why.clone();
    }
    let cause = Cause::with_error(CauseKind::Stopped, why.to_string());
    match why.stage() {
        Some(stage) => cause.at(stage.clone()),
        None => cause,
    }
}
