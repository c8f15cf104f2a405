//! The same program on five executors: nothing in the tank belongs to one of them, nor in a pipeline.

use std::future::Future;

use async_executor::Executor;
use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::future::BoxFuture;
use futures::task::{LocalSpawnExt as _, SpawnExt as _};
use futures::{FutureExt as _, StreamExt};
use standpipe::pipeline::Ready;
use standpipe::stage::{collect, iter};
use standpipe::{Batch, Pipeline, Readable, Tank, Writable};

const ITEMS: u64 = 2_000;
const WRITERS: u64 = 3;

/// A writer that uses every way to write.
async fn produce(writable: Writable<u64>, first: u64) {
    let mut batch = Batch::new();
    for item in (first..ITEMS).filter(|item| item % WRITERS == first) {
        match item % 4 {
            0 => assert!(writable.send(item).await.is_ok()),
            1 => {
                let permit = writable.reserve(1).await.expect("somebody reads");
                assert!(permit.send(item).is_ok());
            }
            2 => {
                batch.push(item);
                assert!(writable.send_batch(&mut batch).await.is_ok());
            }
            _ => {
                let mut item = item;
                loop {
                    assert!(writable.drained().await.is_ok());
                    match writable.write(item) {
                        Ok(_) => break,
                        Err(error) => item = error.into_inner(), // somebody was quicker
                    }
                }
            }
        }
    }
    writable.end().await.expect("all was taken");
}

/// Pipes through a second tank and reads it in every way.
async fn relay(readable: Readable<u64>, writable: Writable<u64>) {
    assert_eq!(readable.pipe(writable).await.expect("ended well"), ITEMS);
}

async fn consume(mut readable: Readable<u64>) -> Vec<u64> {
    let (mut all, mut batch) = (Vec::new(), Batch::new());
    loop {
        match all.len() % 3 {
            0 => match readable.next().await {
                Some(item) => all.push(item.expect("ended well")),
                None => return all,
            },
            1 => match StreamExt::next(&mut readable).await {
                Some(item) => all.push(item.expect("ended well")),
                None => return all,
            },
            _ => {
                if !readable.next_batch(&mut batch).await.expect("ended well") {
                    return all;
                }
                all.extend(batch.drain());
            }
        }
    }
}

/// Writers and relay as tasks of the executor, and what its main task awaits.
fn program() -> (Vec<BoxFuture<'static, ()>>, impl Future<Output = Vec<u64>> + Send) {
    let (writable, from) = Tank::items(8).build::<u64>();
    let (to, readable) = Tank::items(5).low(1).build::<u64>();
    let mut tasks: Vec<BoxFuture<'static, ()>> = vec![Box::pin(relay(from, to))];
    for first in 1..WRITERS {
        tasks.push(Box::pin(produce(writable.clone(), first)));
    }
    tasks.push(Box::pin(produce(writable, 0)));
    (tasks, consume(readable))
}

#[track_caller]
fn check(all: &[u64]) {
    assert_eq!(all.len() as u64, ITEMS);
    for first in 0..WRITERS {
        let of_one: Vec<_> = all.iter().filter(|item| **item % WRITERS == first).collect();
        assert!(of_one.is_sorted(), "the items of one writer stay in order");
    }
}

#[tokio::test]
async fn it_runs_on_one_thread_of_tokio() {
    let (tasks, consumer) = program();
    tasks.into_iter().for_each(|task| drop(tokio::spawn(task)));
    check(&consumer.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn it_runs_on_many_threads_of_tokio() {
    let (tasks, consumer) = program();
    tasks.into_iter().for_each(|task| drop(tokio::spawn(task)));
    check(&tokio::spawn(consumer).await.expect("no panic"));
}

#[test]
fn it_runs_on_a_local_pool() {
    let mut pool = LocalPool::new();
    let (tasks, consumer) = program();
    for task in tasks {
        pool.spawner().spawn_local(task).expect("the pool is there");
    }
    check(&pool.run_until(consumer));
}

#[test]
fn it_runs_on_a_thread_pool() {
    let pool = ThreadPool::builder().pool_size(3).create().expect("threads");
    let (tasks, consumer) = program();
    for task in tasks {
        pool.spawn(task).expect("the pool is there");
    }
    check(&block_on(pool.spawn_with_handle(consumer).expect("the pool is there")));
}

#[test]
fn it_runs_in_one_task_without_an_executor() {
    let (tasks, consumer) = program();
    let tasks = futures::future::join_all(tasks).map(drop);
    check(&block_on(async { futures::join!(consumer, tasks).0 }));
}

#[test]
fn it_runs_on_one_thread_of_smol() {
    let executor = Executor::new();
    let (tasks, consumer) = program();
    tasks.into_iter().for_each(|task| executor.spawn(task).detach());
    check(&block_on(executor.run(consumer)));
}

#[test]
fn it_runs_on_many_threads_of_smol() {
    on_smol_threads(|executor| {
        let (tasks, consumer) = program();
        tasks.into_iter().for_each(|task| executor.spawn(task).detach());
        check(&block_on(executor.spawn(consumer)));
    });
}

/// Calls `main` while three threads run what it spawns.
fn on_smol_threads(main: impl FnOnce(&Executor<'static>)) {
    let executor = Executor::new();
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let stopped = stopped.shared();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            let (executor, stopped) = (&executor, stopped.clone());
            threads.spawn(move || block_on(executor.run(stopped)).ok());
        }
        main(&executor);
        drop(stop);
    });
}

/// A pipeline of three segments that wait for each other all the time.
fn pipeline() -> Ready<Vec<u64>> {
    Pipeline::from("numbers", iter(0..ITEMS))
        .tank(Tank::items(5))
        .map("double", |n| n * 2)
        .tank(Tank::items(3).low(1))
        .to("all", collect(usize::try_from(ITEMS).expect("it is small")))
}

#[track_caller]
fn check_doubled(all: &[u64]) {
    assert!(all.iter().copied().eq((0..ITEMS).map(|n| n * 2)));
}

#[test]
fn a_pipeline_runs_in_one_task_of_smol() {
    let executor = Executor::new();
    let running = executor.spawn(pipeline().run());
    check_doubled(&block_on(executor.run(running)).expect("it ends well").done);
}

#[test]
fn a_pipeline_has_a_task_a_segment_on_many_threads_of_smol() {
    on_smol_threads(|executor| {
        let running = pipeline().spawn_with(|segment| executor.spawn(segment).detach());
        check_doubled(&block_on(running).expect("it ends well").done);
    });
}

#[test]
fn a_pipeline_is_cancelled_when_an_executor_of_smol_is_dropped() {
    let executor = Executor::new();
    let running = pipeline().spawn_with(|segment| executor.spawn(segment).detach());
    assert!(executor.try_tick(), "one segment has begun");
    drop(executor);
    let error = block_on(running).expect_err("nobody is left to poll it");
    assert_eq!(error.kind(), standpipe::CauseKind::Cancelled);
}
