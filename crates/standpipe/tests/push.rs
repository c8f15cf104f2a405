//! Does a source that pushes many items at once keep to the tank?

use futures::executor::block_on;
use standpipe::error::CauseKind;
use standpipe::gate::Flow;
use standpipe::stage::{Emit, More, Source, collect, iter};
use standpipe::{Pipeline, Tank};

/// Pushes pages of rows, each by one call where there is room.
struct Pages {
    next: u64,
    pages: u64,
    rows: u64,
}

impl Source for Pages {
    type Item = u64;
    type Error = std::convert::Infallible;

    async fn read(&mut self, out: &mut impl Emit<u64>) -> Result<More, Self::Error> {
        if self.pages == 0 {
            return Ok(More::No);
        }
        self.pages -= 1;
        let mut rows = self.next..self.next + self.rows;
        self.next = rows.end;
        loop {
            match out.push_all(&mut rows) {
                Ok(Flow::Ready) => return Ok(More::Yes),
                Ok(Flow::Wait) => out.flush().await,
                Err(row) => out.feed(row).await,
            }
        }
    }
}

#[test]
fn what_is_pushed_by_the_page_arrives_in_order_whatever_the_mark() {
    for mark in [1, 2, 3, 16, 100] {
        for rows in [0, 1, 2, 3, 15, 16, 17, 200] {
            let pages = || Pages { next: 0, pages: 5, rows };
            let all: Vec<u64> = (0..5 * rows).collect();
            let straight = Pipeline::from("pages", pages()).tank(Tank::items(mark));
            let ran = block_on(straight.to("all", collect(2_000)).run()).unwrap();
            assert_eq!(ran.done, all, "mark {mark}, {rows} rows");
            assert!(ran.report.tanks[0].peak <= mark, "{:?}", ran.report.tanks[0]);
            // through a fused stage, into a tank that weighs
            let weighed = Pipeline::from("pages", pages())
                .map("same", |row| row)
                .tank(Tank::weighed(mark, |_: &u64| 2));
            assert_eq!(block_on(weighed.to("all", collect(2_000)).run()).unwrap().done, all);
        }
    }
}

#[test]
fn an_iterator_that_panics_while_it_is_pushed_is_the_cause_and_its_items_are_counted() {
    let items = (0..100_u64).inspect(|n| assert!(*n < 10, "row {n} is bad"));
    let pipeline = Pipeline::from("rows", iter(items)).tank(Tank::items(64));
    let error = block_on(pipeline.to("all", collect(100)).run()).unwrap_err();
    assert_eq!(error.cause().kind(), CauseKind::Panicked);
    assert!(error.to_string().contains("row 10 is bad"), "{error}");
    let tank = &error.report().tanks[0];
    assert_eq!(tank.written.items, tank.read.items + tank.dropped.unread.items);
}
