//! Paths that can be followed by hand.

use super::*;

/// A source and a sink with one tank between them.
fn pair() -> (Trail, Trail, Path) {
    let path = Path::new(2, 1);
    (Trail::new(path.clone(), 0, 0), Trail::new(path.clone(), 1, 0), path)
}

#[test]
fn a_slow_source_passes_its_time_on_with_each_item_that_was_waited_for() {
    let (mut source, mut sink, mut slot) = pair();
    for round in 1..=10_u64 {
        // 90 ns of work, then a write that ends the sink's wait; the sink works
        // 20 ns, beside the source
        let written_ns = round * 90;
        source.settle(written_ns);
        slot.become_copy_of(source.path());
        sink.follow(&slot, written_ns);
        sink.settle(written_ns + 20);
    }
    let seen = sink.look(1_000, Doing::Waits);
    assert_eq!((seen.at_ns, &*seen.path.values), (920, &[900, 20, 0][..]));
}

#[test]
fn a_slow_sink_passes_its_time_up_and_the_crossing_is_counted() {
    let (mut source, mut sink, mut slot) = pair();
    source.settle(10); // the tank is shut now
    for round in 1..=5_u64 {
        let drained_ns = 10 + round * 50;
        sink.settle(drained_ns);
        slot.become_copy_of(sink.path());
        source.follow_back(&slot, 0, drained_ns);
        source.settle(drained_ns + 10);
    }
    assert_eq!(*source.path().values, [10, 260, 1], "the sink's chain");
    assert_eq!(*sink.look(300, Doing::Works).path.values, [0, 300, 0], "it never waited");
}

#[test]
fn time_from_a_wake_up_to_running_belongs_to_no_stage() {
    let (mut source, mut sink, mut slot) = pair();
    source.settle(100);
    slot.become_copy_of(source.path());
    sink.follow(&slot, 130); // woken at 100
    let log = Log::new(&Path::new(2, 1), 0).with(sink.look(200, Doing::Works));
    let window = Window::between(&log, 0, 200).unwrap();
    assert_eq!(window.shares(), [0.5, 0.35]);
    assert!((window.hand_over() - 0.15).abs() < 1e-9, "{window:?}");
}

#[test]
fn a_log_is_bounded_and_spread_over_the_run() {
    let mut trail = Trail::new(Path::new(1, 0), 0, 0);
    let mut log = Log::new(&Path::new(1, 0), 0);
    let mut asked = 0;
    for now_ns in (0..10_000_000).step_by(100) {
        if now_ns >= log.next_ns() {
            log.note(trail.look(now_ns, Doing::Works));
            asked += 1;
        }
    }
    let path = log.with(trail.look(10_000_000, Doing::Works));
    let points: Vec<_> = path.waypoints().collect();
    assert!(points.len() <= WAYPOINTS && points.len() >= WAYPOINTS / 3, "{}", points.len());
    assert!(asked < 1_000, "{asked} of 100,000");
    assert_eq!((points[0].at_ns, points.last().unwrap().at_ns), (0, 10_000_000));
    let widest = points.windows(2).map(|pair| pair[1].at_ns - pair[0].at_ns).max();
    assert!(widest.unwrap() < 700_000, "{widest:?}");
    // a stage that is always busy has all of any stretch
    let window = Window::between(&path, 1_234_567, 7_654_321).unwrap();
    assert!((window.shares()[0] - 1.0).abs() < 1e-6, "{window:?}");
}

#[test]
fn a_chain_that_switches_may_take_time_back_and_the_share_is_0_then() {
    let mut log = CriticalPath::with_room(2, 0, 3);
    log.push(0, &[0, 0]);
    log.push(100, &[60, 40]);
    log.push(200, &[40, 150]);
    let window = Window::between(&log, 100, 200).unwrap();
    assert_eq!((window.raw.clone(), window.shares()), (vec![-0.2, 1.1], vec![0.0, 1.0]));
    assert!(Window::between(&log, 200, 200).is_none());
    assert!(Window::between(&CriticalPath::default(), 0, 1).is_none());
}

#[test]
fn clarity_is_that_of_the_worst_third() {
    let window = |raw: [f64; 3]| Window { span_ns: 1, raw: raw.to_vec(), crossings: Vec::new() };
    let check = |windows: &[Window], stage, want: f64| {
        assert!((clarity(windows, stage) - want).abs() < 1e-9, "{windows:?}");
    };
    check(&[window([0.6, 0.3, 0.1])], 0, 2.0 / 3.0);
    check(&[window([0.6, 0.3, 0.1]), window([0.4, 0.4, 0.2])], 0, 0.5);
    check(&[window([0.9, 0.1, 0.0]), window([0.1, 0.9, 0.0])], 0, 0.1);
    check(&[window([0.0, 0.0, 0.0])], 0, 0.0);
}

#[test]
fn a_forecast_is_capped_by_the_next_busiest() {
    // 20 % faster saves 18 % of the time, unless the other is busy 95 % of it
    let (factor, next) = what_if(&[0.9, 0.05], &[0.99, 0.95], 0, 0.2);
    assert_eq!((factor, next), (0.95, Some(1)));
    let (factor, next) = what_if(&[0.9, 0.05], &[0.99, 0.5], 0, 0.2);
    assert!((factor - 0.82).abs() < 1e-9 && next.is_none());
    // its own work alone is more than the share lets hope
    let (factor, next) = what_if(&[1.0], &[1.0], 0, 0.1);
    assert_eq!((factor, next), (0.9, None));
}

#[test]
fn tanks_can_gain_what_the_busiest_stage_leaves() {
    let check = |busy: &[f64], loss: f64, gain: f64| {
        let ceiling = ceiling(busy);
        assert!((ceiling.loss - loss).abs() < 1e-9 && (ceiling.gain - gain).abs() < 1e-9);
    };
    check(&[0.5, 0.2], 0.5, 1.0);
    check(&[0.3, 1.0], 0.0, 0.0);
    check(&[0.8], 0.2, 0.25);
}
