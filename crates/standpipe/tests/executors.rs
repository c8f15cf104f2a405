//! The same program on four executors: nothing in the tank belongs to one of them.

use std::future::Future;

use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::future::BoxFuture;
use futures::task::{LocalSpawnExt as _, SpawnExt as _};
use futures::{FutureExt as _, StreamExt};
use standpipe::{Batch, Readable, Tank, Writable};

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
