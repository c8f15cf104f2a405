//! Who polls: one task, a task per segment, or a thread per segment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::error::{Cause, CauseKind};
use crate::pipeline::crew::{Crew, OneTask};
use crate::pipeline::monitor::{Board, Monitor};
use crate::pipeline::outcome::{Completed, PipelineError};
use crate::stage::line::Outcome;
use crate::sync::{Arc, Mutex, lock};

/// The end of a run: result and numbers.
fn result<D>(
    crew: &Crew,
    board: &Board,
    done: &Mutex<Option<D>>,
) -> Result<Completed<D>, PipelineError> {
    let ended_ns = (board.clock)();
    lock(&board.ended_ns).get_or_insert(ended_ns);
    let report = board.report();
    #[cfg(feature = "tracing")]
    crew.tell_end();
    let done = lock(done).take();
    match (crew.line().outcome(), done) {
        (Some(Outcome::Complete), Some(done)) => {
            Ok(Completed { done, report, late: crew.line().consequences() })
        }
        (Some(Outcome::Failed(cause, _)), _) => {
            Err(PipelineError::new(cause, crew.line().consequences(), report))
        }
        // every segment ended and the sink did not: cannot be, but must not hang
        _ => Err(PipelineError::new(Cause::new(CauseKind::Abandoned), Vec::new(), report)),
    }
}

/// A pipeline running inside the task that awaits it. See
/// [`Ready::run`](crate::pipeline::Ready::run).
#[must_use = "a pipeline runs only while it is awaited"]
pub struct Run<D> {
    pub(crate) task: OneTask,
    pub(crate) board: Arc<Board>,
    pub(crate) done: Arc<Mutex<Option<D>>>,
}

impl<D> Future for Run<D> {
    type Output = Result<Completed<D>, PipelineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.task.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(result(self.task.crew(), &self.board, &self.done)),
        }
    }
}

impl<D> Drop for Run<D> {
    fn drop(&mut self) {
        end(self.task.crew(), Drivers::Gone);
    }
}

/// Whether anybody is left to poll the stages that close.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drivers {
    Left,
    Gone,
}

/// Ends everything a pipeline began. A no-op after the end.
fn end(crew: &Crew, drivers: Drivers) {
    crew.line().halt(Cause::new(CauseKind::Cancelled), None);
    if drivers == Drivers::Gone {
        crew.abandon();
    }
    crew.take_down();
    #[cfg(feature = "tracing")]
    crew.tell_end();
}

impl<D> fmt::Debug for Run<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("line", self.task.crew().line()).finish_non_exhaustive()
    }
}

/// A pipeline running by itself. Await it for the result; dropping it cancels
/// the pipeline. See [`Ready::spawn`](crate::pipeline::Ready::spawn).
#[must_use = "dropping it cancels the pipeline"]
pub struct Spawned<D> {
    pub(crate) crew: Arc<Crew>,
    pub(crate) board: Arc<Board>,
    pub(crate) done: Arc<Mutex<Option<D>>>,
}

impl<D> Spawned<D> {
    /// Watches and steers it.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.board.clone())
    }

    /// Blocks this thread until the pipeline is over.
    ///
    /// Not for async code: await it there.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn wait(self) -> Result<Completed<D>, PipelineError> {
        block_on(self)
    }
}

impl<D> Future for Spawned<D> {
    type Output = Result<Completed<D>, PipelineError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.crew.poll_gone(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(result(&self.crew, &self.board, &self.done)),
        }
    }
}

impl<D> Drop for Spawned<D> {
    fn drop(&mut self) {
        end(&self.crew, Drivers::Left);
    }
}

impl<D> fmt::Debug for Spawned<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("line", self.crew.line()).finish_non_exhaustive()
    }
}

/// The future of one segment. Dropped before it is ready, as a runtime that
/// shuts down does, it cancels the pipeline: nobody would poll the segment.
pub(crate) struct SegmentTask {
    crew: Arc<Crew>,
    index: usize,
    over: bool,
}

impl SegmentTask {
    pub(crate) const fn new(crew: Arc<Crew>, index: usize) -> Self {
        Self { crew, index, over: false }
    }
}

impl Future for SegmentTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.crew.watch(self.index, cx.waker());
        let polled = self.crew.poll(self.index, cx);
        self.over = polled.is_ready();
        polled
    }
}

impl Drop for SegmentTask {
    fn drop(&mut self) {
        if !self.over {
            end(&self.crew, Drivers::Gone);
        }
    }
}

/// A thread per segment, named after its stages.
///
/// # Errors
/// If the system gives no more threads; what was begun is over then.
pub(crate) fn on_threads(crew: &Arc<Crew>, names: &[Arc<str>]) -> std::io::Result<()> {
    for (index, name) in names.iter().enumerate() {
        let work = SegmentTask::new(crew.clone(), index);
        // Linux keeps 15 bytes
        let short: String = name.chars().filter(|c| *c != '\0').take(15).collect();
        let spawned = thread::Builder::new().name(short).spawn(move || block_on(work));
        if let Err(error) = spawned {
            end(crew, Drivers::Gone);
            return Err(error);
        }
    }
    Ok(())
}

/// Polls a future on this thread, parked while it waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
