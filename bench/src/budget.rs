//! What does one limit over many queues cost, and does it hold?
//!
//! Pieces of 1 KiB go through pairs of a writer and a reader, each with a queue of 64 KiB. The peer is what tokio has for a common limit:
//! beside the channels a `Semaphore`, acquired by weight before a piece is sent, with the permit in the channel beside it, released when
//! the piece was handled. Writers take parts of 32 pieces from what all have left, so that who is faster moves more.
//!
//! *ample*: twice what all queues hold. *A tenth*: of what they hold. *10 of 1,000*: each pair moves a burst of 64 KiB, then all but ten
//! idle until the end; the limit is what ten queues hold. Where it is not ample, readers let others run after each piece: so all queues fill.
//!
//! # Knows / never knows
//! Knows scenes, their writers and what came of them. Never knows how a queue hands on a piece: `limited` does.

mod limited;

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use standpipe::pipeline::Ready;
use standpipe::stage::{fold, iter};
use standpipe::{Budget, Pipeline, Tank};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::measure::{Case, Metric, Target, Weight, in_process, median};
use crate::setting::{Place, Setting};
use limited::{Alone, Limited, Permits, Shared};

const PIECE_BYTES: usize = 1 << 10;
const QUEUE_BYTES: usize = 64 << 10;
/// Pieces that a writer takes at once from what is left.
const PART: u64 = 32;
/// Parts of a burst: 64 KiB.
const BURST: usize = QUEUE_BYTES / PIECE_BYTES / PART as usize;
/// Rounds for what is held and who moves how much, and the pieces of one.
const ROUNDS: usize = 3;
const PIECES: u64 = 1_000_000;

const SPAWNED: &str = "standpipe spawn(), no budget";

/// With a budget against without, where the limit is ample.
const AGAINST_ITSELF: f64 = 1.05;
/// Against channels and semaphore.
const AGAINST_PERMITS: f64 = 0.50;
/// The same where the limit is what they wait for.
const AGAINST_PERMITS_SCARCE: f64 = 1.00;
/// Of the mean that the slowest pair moves.
const LEAST: f64 = 0.80;

/// A piece of data.
#[derive(Clone, Copy, Debug)]
struct Piece {
    number: u64,
    bytes: u32,
}

impl Piece {
    const fn new(number: u64) -> Self {
        Self { number, bytes: PIECE_BYTES as u32 }
    }
}

impl standpipe::Weigh for Piece {
    fn weight(&self) -> usize {
        self.bytes as usize
    }
}

/// How a reader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// With the next piece.
    AtOnce,
    /// When others had their turn: writers are faster.
    ByTurns,
}

/// How many pairs there are, and what they share.
#[derive(Clone)]
struct Scene {
    name: &'static str,
    runtime: Arc<LazyLock<Runtime>>,
    pairs: usize,
    /// All others idle after a burst.
    busy: usize,
    limit_bytes: usize,
    /// A round of the first table.
    pieces: u64,
    is_ct: bool,
}

impl Scene {
    fn all() -> [Self; 5] {
        let scene = |name, place, pairs: usize, limit_bytes, pieces| {
            let setting = Setting::new(place, QUEUE_BYTES / PIECE_BYTES);
            let is_ct = setting.is_ct();
            Self { name, runtime: setting.runtime, pairs, busy: pairs, limit_bytes, pieces, is_ct }
        };
        [
            scene("ct, 1 pair, ample", Place::Ct, 1, 2 * QUEUE_BYTES, 1_500_000),
            scene("mt2, 100 pairs, ample", Place::Mt2, 100, 200 * QUEUE_BYTES, 1_000_000),
            scene("mt2, 100 pairs, a tenth", Place::Mt2, 100, 10 * QUEUE_BYTES, 500_000),
            scene("mt2, 1,000 pairs, a tenth", Place::Mt2, 1_000, 100 * QUEUE_BYTES, 500_000),
            Self {
                busy: 10,
                ..scene("mt2, 10 of 1,000 pairs", Place::Mt2, 1_000, 10 * QUEUE_BYTES, 500_000)
            },
        ]
    }

    fn is_ample(&self) -> bool {
        self.limit_bytes > self.pairs * QUEUE_BYTES
    }

    fn pace(&self) -> Pace {
        if self.is_ample() { Pace::AtOnce } else { Pace::ByTurns }
    }

    fn weight(&self) -> Weight {
        if self.is_ct { Weight::Gate } else { Weight::Goal }
    }
}

/// All cases, standpipe's beside the peers they are compared with.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        let weight = scene.weight();
        cases.push(case::<Permits>(&scene, vec![]));
        if !scene.is_ample() {
            let wall = Target {
                metric: Metric::Wall,
                ..Target::cpu(Permits::NAME, AGAINST_PERMITS_SCARCE, weight)
            };
            let cpu = Target::cpu(Permits::NAME, AGAINST_PERMITS_SCARCE, weight);
            cases.push(case::<Shared>(&scene, vec![cpu, wall]));
            continue;
        }
        cases.push(case::<Alone>(&scene, vec![]));
        let targets = vec![
            Target::cpu(Alone::NAME, AGAINST_ITSELF, weight),
            Target::cpu(Permits::NAME, AGAINST_PERMITS, weight),
        ];
        cases.push(case::<Shared>(&scene, targets));
        cases.push(spawned(&scene, SPAWNED, vec![], |_| None));
        let targets = vec![
            Target::cpu(SPAWNED, AGAINST_ITSELF, weight),
            Target::cpu(Permits::NAME, AGAINST_PERMITS, weight),
        ];
        let budget = |bytes| Some(Budget::bytes(bytes));
        cases.push(spawned(&scene, "standpipe spawn(), Budget", targets, budget));
    }
    cases
}

fn case<Q: Limited>(scene: &Scene, targets: Vec<Target>) -> Case {
    let here = scene.clone();
    made(scene, Q::NAME, targets, move |n| moved::<Q>(&here, n, None).sum)
}

/// Each pair as a pipeline that moves as much as the others.
fn spawned(
    scene: &Scene,
    name: &'static str,
    targets: Vec<Target>,
    budget: impl Fn(usize) -> Option<Budget> + 'static,
) -> Case {
    let here = scene.clone();
    made(scene, name, targets, move |n| {
        let (budget, pairs) = (budget(here.limit_bytes), here.pairs as u64);
        here.runtime.block_on(async {
            let running: Vec<_> = (0..pairs)
                .map(|at| n * at / pairs..n * (at + 1) / pairs)
                .map(|numbers| pipeline(numbers, budget.as_ref()))
                .map(|ready| ready.spawn_with(|segment| drop(tokio::spawn(segment))))
                .collect();
            let mut sum = 0;
            for running in running {
                sum += running.await.expect("no stage fails").done;
            }
            sum
        })
    })
}

fn pipeline(numbers: Range<u64>, budget: Option<&Budget>) -> Ready<u64> {
    let tank = Tank::bytes(QUEUE_BYTES);
    let tank = match budget {
        Some(budget) => tank.budget(budget),
        None => tank,
    };
    Pipeline::from("pieces", iter(numbers.map(Piece::new)))
        .tank(tank)
        .to("sum", fold(0, |sum, piece: Piece| sum + piece.number))
}

fn made(
    scene: &Scene,
    name: &'static str,
    targets: Vec<Target>,
    work: impl Fn(u64) -> u64 + 'static,
) -> Case {
    let run = in_process(work, move |n, sum| {
        assert_eq!(sum, sum_below(n), "{name} loses or invents pieces");
        0.0
    });
    Case { name, setting: scene.name.to_owned(), run: Some(run), most: scene.pieces, targets }
}

const fn sum_below(n: u64) -> u64 {
    n * (n - 1) / 2
}

/// What is left to be written, by all.
struct Left {
    next: AtomicU64,
    end: u64,
}

impl Left {
    fn part(&self) -> Option<Range<u64>> {
        let from = self.next.fetch_add(PART, Ordering::Relaxed);
        (from < self.end).then(|| from..self.end.min(from + PART))
    }
}

/// What was written and is not handled yet, in bytes.
#[derive(Default)]
struct Held {
    now: AtomicI64,
    most: AtomicI64,
}

impl Held {
    fn wrote(&self, piece: Piece) {
        let bytes = i64::from(piece.bytes);
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn handled(&self, piece: Piece) {
        self.now.fetch_sub(i64::from(piece.bytes), Ordering::Relaxed);
    }
}

/// What came of a run.
struct Moved {
    sum: u64,
    /// Pieces, by each pair that was busy.
    by_pair: Vec<u64>,
}

/// Moves `n` pieces.
fn moved<Q: Limited>(scene: &Scene, n: u64, held: Option<&Arc<Held>>) -> Moved {
    let left = Arc::new(Left { next: AtomicU64::new(0), end: n });
    let limit = Q::limit(scene.limit_bytes);
    scene.runtime.block_on(async {
        let over = watch::Sender::new(false);
        let (mut busy, mut idle, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..scene.pairs {
            let (tx, rx) = Q::pair(&limit, QUEUE_BYTES);
            readers.push(tokio::spawn(Q::read(rx, scene.pace(), held.cloned())));
            let (left, held) = (Arc::clone(&left), held.cloned());
            if at < scene.busy {
                busy.push(tokio::spawn(writer::<Q>(tx, left, held, usize::MAX, None)));
            } else {
                let over = Some(over.subscribe());
                idle.push(tokio::spawn(writer::<Q>(tx, left, held, BURST, over)));
            }
        }
        let mut moved = Moved { sum: 0, by_pair: Vec::new() };
        for writer in busy {
            moved.by_pair.push(writer.await.expect("a writer does not panic"));
        }
        over.send_replace(true);
        for writer in idle {
            writer.await.expect("a writer does not panic");
        }
        for reader in readers {
            moved.sum += reader.await.expect("a reader does not panic");
        }
        moved
    })
}

/// Writes so many parts at most, and ends when all is `over`. Returns how many pieces it wrote.
async fn writer<Q: Limited>(
    mut tx: Q::Tx,
    left: Arc<Left>,
    held: Option<Arc<Held>>,
    parts: usize,
    over: Option<watch::Receiver<bool>>,
) -> u64 {
    let mut wrote = 0;
    for _ in 0..parts {
        let Some(part) = left.part() else { break };
        wrote += part.end - part.start;
        Q::write(&mut tx, part, held.as_deref()).await;
    }
    if let Some(mut over) = over {
        over.wait_for(|over| *over).await.expect("it is told");
    }
    Q::end(tx);
    wrote
}

/// The second table: what is held at most, and how alike the pairs are. And whether a gate is missed.
pub(crate) fn bounds() -> (String, bool) {
    let mut table = format!(
        "\n{ROUNDS} rounds of {PIECES} pieces. Held: what was written and not handled yet, at most, in KiB; target: the limit, and for \
         tanks one piece each. Share: pieces of a busy pair over the mean.\n\n\
         | case | setting | limit | held | target | met | least share | greatest | target | met |\n\
         | --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- |\n"
    );
    let mut missed = false;
    for scene in Scene::all().into_iter().filter(|scene| !scene.is_ample()) {
        let mut seen = [Seen::default(), Seen::default()];
        for _ in 0..ROUNDS {
            seen[0].look::<Permits>(&scene);
            seen[1].look::<Shared>(&scene);
        }
        let [permits, shared] = seen;
        let limit = scene.limit_bytes / 1024;
        let at_most = (scene.limit_bytes + scene.pairs * PIECE_BYTES) / 1024;
        table.push_str(&format!(
            "{} | | | {} | | |\n",
            permits.row(&scene, limit),
            permits.shares()
        ));
        let (held, least) = (shared.held_kib <= at_most as i64, median(&shared.least) >= LEAST);
        let met = |met| if met { "met" } else { "**not met**" };
        table.push_str(&format!(
            "{} | <= {at_most} | {} | {} | >= {LEAST:.2} (goal) | {} |\n",
            shared.row(&scene, limit),
            met(held),
            shared.shares(),
            met(least),
        ));
        missed |= !held;
    }
    (table, missed)
}

/// What was seen of one kind of queue.
#[derive(Default)]
struct Seen {
    name: &'static str,
    held_kib: i64,
    least: Vec<f64>,
    greatest: Vec<f64>,
}

impl Seen {
    /// Once to see who moves how much, once to see what is held: that slows all down.
    fn look<Q: Limited>(&mut self, scene: &Scene) {
        self.name = Q::NAME;
        let Moved { sum, by_pair } = moved::<Q>(scene, PIECES, None);
        assert_eq!(sum, sum_below(PIECES), "{} loses or invents pieces", Q::NAME);
        let mean = by_pair.iter().sum::<u64>() as f64 / by_pair.len() as f64;
        let over_mean = |pieces: Option<&u64>| pieces.map_or(0.0, |pieces| *pieces as f64 / mean);
        self.least.push(over_mean(by_pair.iter().min()));
        self.greatest.push(over_mean(by_pair.iter().max()));
        let held = Arc::new(Held::default());
        moved::<Q>(scene, PIECES, Some(&held));
        self.held_kib = self.held_kib.max(held.most.load(Ordering::Relaxed) / 1024);
    }

    fn row(&self, scene: &Scene, limit: usize) -> String {
        format!("| {} | {} | {limit} | {}", self.name, scene.name, self.held_kib)
    }

    fn shares(&self) -> String {
        format!("{:.2} | {:.2}", median(&self.least), median(&self.greatest))
    }
}
