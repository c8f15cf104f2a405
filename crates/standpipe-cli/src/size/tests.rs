//! Tables of what is read, refused and written.

use super::*;

const MIB: u64 = 1 << 20;

#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    read: impl Fn(&str) -> Result<T, Refusal>,
    accepted: &[(&str, T)],
    refused: &[(&str, &str)],
) {
    for (text, expected) in accepted {
        assert_eq!(read(text).as_ref(), Ok(expected), "{text:?}");
    }
    for (text, hint) in refused {
        let refusal = read(text).expect_err(text);
        assert!(refusal.hint.contains(hint), "{text:?}: {:?}, expected {hint:?}", refusal.hint);
    }
}

#[test]
fn sizes() {
    use Amount::{Bytes, Items, Percent};
    check(
        |text| read_amount(text, Zero::Refused),
        &[
            ("64KiB", Bytes(65_536)),
            ("64K", Bytes(65_536)),
            ("64k", Bytes(65_536)),
            ("64kiB", Bytes(65_536)),
            ("65536", Bytes(65_536)),
            ("1", Bytes(1)),
            ("7B", Bytes(7)),
            ("1.5M", Bytes(1_572_864)),
            ("1.50MiB", Bytes(1_572_864)),
            ("2GiB", Bytes(2 << 30)),
            ("3T", Bytes(3 << 40)),
            ("1P", Bytes(1 << 50)),
            ("15EiB", Bytes(15 << 60)),
            ("64KB", Bytes(64_000)),
            ("64kB", Bytes(64_000)),
            ("10MB", Bytes(10_000_000)),
            ("0.1K", Bytes(102)),
            ("64 KiB", Bytes(65_536)),
            ("18446744073709551615", Bytes(u64::MAX)),
            ("2%", Percent(2)),
            ("90%", Percent(90)),
            ("1024 items", Items(1024)),
            ("16items", Items(16)),
            ("1item", Items(1)),
        ],
        &[
            ("64kb", "write `64KiB` (65,536 bytes) or `64kB` (64,000 bytes)"),
            ("64Kb", "write `64KiB` (65,536 bytes) or `64kB` (64,000 bytes)"),
            ("1.5mb", "write `1.5MiB` (1,572,864 bytes) or `1.5MB` (1,500,000 bytes)"),
            ("10Gb", "`10GiB`"),
            ("64m", "write `64MiB`"),
            ("64Ki", "write `64KiB`"),
            ("64kib", "write `64KiB`"),
            ("-1", "cannot be negative"),
            ("1e3", "write `1000`"),
            ("1.5e3", "write `1500`"),
            ("0", "at least 1"),
            ("0K", "at least 1"),
            ("0.0001K", "at least 1"),
            ("1.5", "write a whole number, e.g. `1`"),
            ("16EiB", "less than `16EiB`"),
            ("18446744073709551616", "less than `16EiB`"),
            ("99999999999999999999999", "write a number"),
            ("", "write a number and a unit"),
            (".5M", "write a number"),
            ("5.M", "write a number"),
            ("1.2.3M", "write a number"),
            ("K", "write a number"),
            ("1,000", "write e.g."),
            ("1_000", "write e.g."),
            ("64X", "`64K`"),
            ("64 ", "`64K`"),
            ("64é", "`64K`"),
            ("91%", "1% to 90%"),
            ("0%", "1% to 90%"),
            ("2.5%", "whole number"),
            ("1.5 items", "whole number"),
            ("0 items", "at least 1"),
        ],
    );
    assert_eq!(read_amount("0", Zero::Allowed), Ok(Bytes(0)));
}

#[test]
fn rates() {
    let rate = |bytes, seconds| Some(Rate { bytes, per: Duration::from_secs(seconds) });
    check(
        read_rate,
        &[
            ("10MB/s", rate(10_000_000, 1)),
            ("10MiB/s", rate(10 * MIB, 1)),
            ("10M/s", rate(10 * MIB, 1)),
            ("10M", rate(10 * MIB, 1)),
            ("80Mbit/s", rate(10_000_000, 1)),
            ("80Mbit", rate(10_000_000, 1)),
            ("64kbit/s", rate(8000, 1)),
            ("1.5Gbit/s", rate(187_500_000, 1)),
            ("600MB/m", rate(600_000_000, 60)),
            ("1G/h", rate(1 << 30, 3600)),
            ("500B/s", rate(500, 1)),
            ("max", None),
        ],
        &[
            ("10MBps", "write `10MB/s`"),
            ("10MiBps", "write `10MiB/s`"),
            ("10Mbps", "write `10Mbit/s` for bits or `10MB/s` for bytes"),
            ("10mbps", "write `10Mbit/s` for bits or `10MB/s` for bytes"),
            ("10Mb/s", "write `10Mbit/s` for bits or `10MB/s` for bytes"),
            ("10kb", "`10Kbit/s`"),
            ("500", "write `500B/s`"),
            ("500/s", "write `500B/s`"),
            ("10M/d", "write `10M/s`, or `/m` or `/h`"),
            ("10M/", "write `10M/s`"),
            ("0B/s", "`max` is no limit"),
            ("1bit/h", "`max` is no limit"),
            ("-1M", "negative"),
            ("fast", "e.g. `10MB/s`"),
            ("2%", "write e.g."),
            ("10Xbit/s", "write e.g."),
        ],
    );
}

#[test]
fn times() {
    check(
        |text| read_time(text, Zero::Refused),
        &[
            ("250ms", Duration::from_millis(250)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_secs(120)),
            ("1h30m", Duration::from_secs(5400)),
            ("1m30s", Duration::from_secs(90)),
            ("1h2m3s4ms", Duration::from_millis(3_723_004)),
            ("0h1s", Duration::from_secs(1)),
        ],
        &[
            ("5", "write `5s`"),
            ("5M", "write `5m`"),
            ("5S", "write `5s`"),
            ("5min", "write `5m`"),
            ("5 s", "write `5s`"),
            ("1h30", "write `30s`"),
            ("30m1h", "larger unit first"),
            ("1s1s", "larger unit first"),
            ("5d", "write e.g. `250ms`"),
            ("0s", "at least `1ms`"),
            ("0.1ms", "at least `1ms`"),
            ("", "e.g. `30s`"),
            ("-5s", "negative"),
            ("9999999999h", "under 100 years"),
            ("99999999999999999999s", "under 100 years"),
            ("0", "at least `1ms`"),
            ("soon", "e.g. `30s`"),
        ],
    );
    assert_eq!(read_time("0s", Zero::Allowed), Ok(Duration::ZERO));
}

#[test]
fn sizes_are_written_in_three_digits() {
    for (bytes, expected) in [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (119_808, "117 KiB"),
        (12_400 * 1024, "12.1 MiB"),
        (16 * MIB, "16.0 MiB"),
        (1_299_227_607, "1.21 GiB"),
        (210 * MIB, "210 MiB"),
        (10 * MIB - 1, "10.0 MiB"),
        (100 * MIB - 1, "100 MiB"),
        (1000 * MIB, "1000 MiB"),
        (1024 * MIB - 1, "1.00 GiB"),
        (MIB - 1, "1.00 MiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(size(bytes), expected);
    }
}

#[test]
fn marks_are_written_whole() {
    for (bytes, expected) in [
        (0, "0 B"),
        (96 * MIB, "96 MiB"),
        (65_536, "64 KiB"),
        (1000, "1000 B"),
        (1536 * 1024, "1.50 MiB"),
        (10_000_000, "9.54 MiB"),
    ] {
        assert_eq!(mark(bytes), expected);
    }
}

#[test]
fn sizes_can_be_typed_again() {
    for (bytes, expected) in
        [(0, "0"), (1000, "1000"), (65_536, "64K"), (96 * MIB, "96M"), (1 << 60, "1E")]
    {
        assert_eq!(typed(bytes), expected);
        assert_eq!(read_amount(expected, Zero::Allowed), Ok(Amount::Bytes(bytes)));
    }
}

#[test]
fn rates_are_written_with_one_decimal() {
    for (bytes_per_second, expected) in [
        (0.0, "0 B/s"),
        (1000.4, "1000 B/s"),
        (4_089_446.0, "3.9 MiB/s"),
        (92_379_545.0, "88.1 MiB/s"),
        (1_048_570.0, "1.0 MiB/s"),
        (f64::NAN, "-"),
        (f64::INFINITY, "-"),
        (-1.0, "-"),
    ] {
        assert_eq!(rate(bytes_per_second), expected);
    }
}

#[test]
fn counts_times_and_shares() {
    assert_eq!([count(0), count(999), count(1000), count(65_536)], ["0", "999", "1,000", "65,536"]);
    assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    assert_eq!(clock(Duration::from_millis(89_999)), "0:01:29");
    assert_eq!(clock(Duration::from_secs(100 * 3600)), "100:00:00");
    assert_eq!([percent(0.921), percent(1.0), percent(f64::NAN)], ["92%", "100%", "-"]);
    for text in ["0s", "250ms", "1.5s", "2m", "1h30m", "1m30s", "1h1ms", "10s"] {
        assert_eq!(time(read_time(text, Zero::Allowed).expect(text)), text);
    }
}
