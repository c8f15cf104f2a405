//! How does the cost of an item grow with the number of tanks, stages, producers and items?
//!
//! Instructions per item in one thread, each size ten times the one before; the slope is the exponent: 0 is no growth, 1 in proportion.

use std::hint::black_box;

use standpipe::stage::{fold, iter};
use standpipe::{Pipeline, Tank};

use crate::callgrind::present;
use crate::measure::Case;
use crate::named::Named;
use crate::queues::{Hop, Tanks};
use crate::setting::{Place, Setting};

const MARK: usize = 64;

/// What grows, how far, and with how many items of the smaller run.
const SERIES: [(&str, [&str; 3], u64); 3] = [
    ("tanks in a row, by pipe()", ["1", "10", "100"], 4096),
    ("producers of one tank", ["1", "10", "100"], 20_000),
    ("maps between two tanks", ["1", "4", "8"], 20_480),
];

/// The cases, to be counted.
pub(crate) fn cases() -> Vec<Case> {
    let setting = Setting::new(Place::Ct, MARK);
    let mut cases = Vec::new();
    let mut add = |series: &str, size: &'static str, work: Box<dyn Fn(u64) -> u64>| {
        let case = setting.case(size, 1, vec![], work, |n| n * (n - 1) / 2);
        cases.push(Case { setting: series.to_owned(), ..case });
    };
    for (at, size) in [1, 10, 100].into_iter().enumerate() {
        let here = setting.clone();
        let row = SERIES[0].1[at];
        add(SERIES[0].0, row, Box::new(move |n| in_a_row(&here, size, n)));
        let here = setting.clone();
        let many = SERIES[1].1[at];
        add(SERIES[1].0, many, Box::new(move |n| producers(&here, size as u64, n)));
    }
    macro_rules! maps {
        ($size:literal: $($map:literal)*) => {
            let here = setting.clone();
            add(SERIES[2].0, $size, Box::new(move |n| {
                let ready = Pipeline::from("numbers", iter(0..n)).tank(Tank::items(1024))
                    $(.map($map, |item: u64| black_box(item)))*
                    .tank(Tank::items(1024))
                    .to("sum", fold(0, |sum, item: u64| sum + item));
                here.runtime.block_on(ready.run()).expect("no stage fails").done
            }));
        };
    }
    maps!("1": "a");
    maps!("4": "a" "b" "c" "d");
    maps!("8": "a" "b" "c" "d" "e" "f" "g" "h");
    cases
}

/// The table.
pub(crate) fn run() -> String {
    if !present() {
        return "\nscale: skipped, there is no valgrind\n".to_owned();
    }
    let mut table = "\n## How cost grows, in instructions per item\n\nOne thread. The slope is the exponent: 0 for no growth, 1 for \
                     proportion.\n\n| grows | sizes | instructions/item | slope |\n| --- | --- | --- | ---: |\n"
        .to_owned();
    for (series, sizes, n) in SERIES {
        let counts =
            sizes.map(|case| Named { workload: "scale", setting: series, case }.instructions(n));
        let times = sizes[2].parse().expect("a size is a number");
        table.push_str(&row(series, &sizes.join(", "), &counts, times));
    }
    let hop = Named { workload: "w1", setting: "ct 1024", case: "standpipe run()" };
    let counts = [20_480, 204_800, 2_048_000].map(|n| hop.instructions(n));
    let sizes = "20,480, 204,800, 2,048,000";
    table + &row("items through one tank, run()", sizes, &counts, 100.0)
}

fn row(series: &str, sizes: &str, counts: &[f64], times: f64) -> String {
    let slope = (counts[counts.len() - 1] / counts[0]).ln() / times.ln();
    let shown: Vec<String> = counts.iter().map(|count| format!("{count:.1}")).collect();
    format!("| {series} | {sizes} | {} | {slope:.2} |\n", shown.join(", "))
}

fn in_a_row(here: &Setting, tanks: usize, n: u64) -> u64 {
    here.runtime.block_on(async {
        let (first, mut last) = Tanks::pair::<u64>(MARK);
        tokio::spawn(Tanks::produce(first, 0..n));
        for _ in 1..tanks {
            let (writable, readable) = Tanks::pair::<u64>(MARK);
            tokio::spawn(last.pipe(writable));
            last = readable;
        }
        tokio::spawn(Tanks::sum(last, |item| item)).await.expect("it does not panic")
    })
}

fn producers(here: &Setting, many: u64, n: u64) -> u64 {
    here.runtime.block_on(async {
        let (writable, readable) = Tanks::pair::<u64>(MARK);
        for at in 0..many {
            let writable = writable.clone();
            tokio::spawn(async move {
                for item in (at..n).step_by(many as usize) {
                    writable.send(item).await.expect("the consumer is there");
                }
                writable.end();
            });
        }
        writable.end();
        tokio::spawn(Tanks::sum(readable, |item| item)).await.expect("it does not panic")
    })
}
