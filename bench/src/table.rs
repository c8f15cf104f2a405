//! How is a measurement shown?
//!
//! As one markdown table for people, or as JSON lines for programs. Absent peers are rows too.

use crate::measure::{Metric, Reading, Row, Unit, Verdict, Weight, median};

/// The rows as a markdown table.
pub(crate) fn markdown(rows: &[Row], unit: Unit) -> String {
    let (heads, lines) = match unit {
        Unit::NsPerItem => ("wall ns/item | min..max | CPU ns/item", "---: | ---: | ---:"),
        Unit::NsAndBytes => ("wall ns | min..max | CPU ns | bytes", "---: | ---: | ---: | ---:"),
        Unit::GibPerSecond => {
            ("GiB/s | min..max | CPU s/GiB | peak MiB", "---: | ---: | ---: | ---:")
        }
        Unit::Count(what) => (what, "---:"),
    };
    let mut table = format!(
        "| case | setting | {heads} | against | ratio | target | met |\n| --- | --- | {lines} | --- | ---: | ---: | --- |\n"
    );
    for row in rows {
        let start = format!("| {} | {} | {}", row.case.name, row.case.setting, figures(row, unit));
        let verdicts = row.verdicts(rows);
        if verdicts.is_empty() {
            table.push_str(&format!("{start} | | | | |\n"));
        }
        for verdict in &verdicts {
            table.push_str(&format!("{start} | {} |\n", comparison(verdict)));
        }
    }
    table
}

fn figures(row: &Row, unit: Unit) -> String {
    if row.readings.is_empty() {
        let columns = match unit {
            Unit::NsPerItem => 3,
            Unit::NsAndBytes | Unit::GibPerSecond => 4,
            Unit::Count(_) => 1,
        };
        return format!("absent{}", " |".repeat(columns - 1));
    }
    let (wall, cpu) = (row.per_item(Metric::Wall), row.per_item(Metric::Cpu));
    let gib = f64::from(1 << 30);
    let count = median(&row.per_item(Metric::Count));
    if let Unit::Count(_) = unit {
        return if count < 1000.0 { format!("{count:.1}") } else { format!("{count:.0}") };
    }
    let bytes = matches!(unit, Unit::GibPerSecond);
    let show = |seconds: f64| if bytes { 1.0 / (seconds * gib) } else { seconds * 1e9 };
    let shown: Vec<f64> = wall.into_iter().map(show).collect();
    let least = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let most = shown.iter().copied().fold(0.0, f64::max);
    let rest = match unit {
        Unit::GibPerSecond => {
            let peak = row.per_item(Metric::PeakMib).into_iter().fold(0.0, f64::max);
            let peak = if peak > 0.0 { format!("{peak:.1}") } else { String::new() };
            format!("{:.3} | {peak}", median(&cpu) * gib)
        }
        Unit::NsAndBytes => format!("{:.2} | {count:.0}", median(&cpu) * 1e9),
        _ => format!("{:.2}", median(&cpu) * 1e9),
    };
    format!("{:.2} | {least:.2}..{most:.2} | {rest}", median(&shown))
}

fn comparison(verdict: &Verdict<'_>) -> String {
    let target = verdict.target;
    let weight = match target.weight {
        Weight::Gate => "",
        Weight::Goal => " (goal)",
    };
    let (against, unit) = match target.metric {
        Metric::Cpu => ("CPU", ""),
        Metric::Wall => ("wall", ""),
        Metric::PeakMib if target.peers.is_empty() => ("peak RSS", " MiB"),
        Metric::PeakMib => ("peak RSS", ""),
        Metric::PeakOverMib => ("peak RSS beyond that", " MiB"),
        Metric::Count => ("count", ""),
    };
    let peer = verdict.peer.map_or(String::new(), |peer| format!(" of {peer}"));
    let ratio = verdict.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}{unit}"));
    let met = match verdict.met() {
        Some(true) => "met",
        Some(false) => "**not met**",
        None => "-",
    };
    format!("{against}{peer} | {ratio} | <= {}{unit}{weight} | {met}", target.at_most)
}

/// Prints a JSON object a line, one per row, every reading included.
pub(crate) fn json(workload: &str, rows: &[Row]) {
    for row in rows {
        let list = |take: &dyn Fn(&Reading) -> String| -> String {
            row.readings.iter().map(take).collect::<Vec<_>>().join(",")
        };
        let targets: Vec<String> = row.verdicts(rows).iter().map(target_json).collect();
        println!(
            "{{\"workload\":{workload:?},\"case\":{:?},\"setting\":{:?},\"n\":{},\"wall_ns\":[{}],\"cpu_ns\":[{}],\
             \"voluntary_switches\":[{}],\"peak_kib\":[{}],\"count\":[{}],\"targets\":[{}]}}",
            row.case.name,
            row.case.setting,
            row.n,
            list(&|r| r.wall.as_nanos().to_string()),
            list(&|r| r.cpu.as_nanos().to_string()),
            list(&|r| r.switches.to_string()),
            list(&|r| r.peak_kib.to_string()),
            list(&|r| r.count.to_string()),
            targets.join(","),
        );
    }
}

fn target_json(verdict: &Verdict<'_>) -> String {
    let metric = match verdict.target.metric {
        Metric::Cpu => "cpu",
        Metric::Wall => "wall",
        Metric::PeakMib => "peak_mib",
        Metric::PeakOverMib => "peak_over_mib",
        Metric::Count => "count",
    };
    let null = || "null".to_owned();
    let peer = verdict.peer.map_or_else(null, |peer| format!("{peer:?}"));
    let ratio = verdict.ratio.map_or_else(null, |ratio| format!("{ratio:.4}"));
    let met = verdict.met().map_or_else(null, |met| met.to_string());
    let gate = verdict.target.weight == Weight::Gate;
    format!(
        "{{\"metric\":\"{metric}\",\"peer\":{peer},\"ratio\":{ratio},\"at_most\":{},\"gate\":{gate},\"met\":{met}}}",
        verdict.target.at_most
    )
}
