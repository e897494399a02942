//! The page itself.

use drfm_engine::eval::{Cell, EvalOptions, Evaluation, MethodKind};

use super::super::text::{MEASURES, cut, noises, number, overall, told};
use super::curves::{curves, legend, plot};
use super::{Excerpt, RANGE_DB, RANGE_HZ, Sound};
use crate::report;

/// What a page starts with; nothing in it comes from elsewhere.
const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="drfm eval"><title>DRFM: evaluation</title>
<style>
:root { color-scheme: light; --ink: #1c1c22; --soft: #666; --line: #dcdce2; --ours: #eaf3fa; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 0 auto; max-width: 1240px; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 8px; } h3 { font-size: 16px; margin: 26px 0 6px; }
p { margin: 4px 0 10px; max-width: 78ch; } .soft { color: var(--soft); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; }
.wide { overflow-x: auto; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: inherit; }
table.names :is(th, td):nth-child(-n+3), table.names :is(th, td):last-child { text-align: left; }
thead th { border-bottom: 2px solid var(--ink); font-weight: 600; } tbody tr { background: #fff; } tbody tr.model { background: var(--ours); }
td.best { font-weight: 700; } tr.noisy td, tr.oracle td { color: var(--soft); }
.plots, .sounds { display: grid; gap: 14px; } .plots { grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); }
.sounds { grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); }
figure { margin: 0; } figcaption { font-size: 13.5px; font-weight: 600; display: flex; justify-content: space-between; gap: 8px; }
figcaption small { font-weight: 400; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
svg text { font: 10.5px system-ui, sans-serif; fill: #555; } svg .grid { stroke: #e6e6ec; stroke-width: 1; } svg .tick { stroke: #777; }
.plot svg, .sound svg { width: 100%; height: auto; display: block; } .sound { border: 1px solid var(--line); border-radius: 6px; padding: 8px; }
.sound.model { background: var(--ours); border-color: #9cc4e0; }
audio { width: 100%; height: 34px; margin-top: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; margin: 6px 0 10px; } .legend span { display: inline-flex; align-items: center; gap: 6px; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 600; }
</style></head><body>
"#;

/// Starting one sound stops the others, at the place where they were.
const TAIL: &str = r#"<script>
document.addEventListener("play", event => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
</script></body></html>
"#;

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A class for rows and boxes of a kind of method.
const fn class(kind: MethodKind) -> &'static str {
    match kind {
        MethodKind::Noisy => "noisy",
        MethodKind::Classical | MethodKind::ClassicalLive => "classical",
        MethodKind::Peer => "peer",
        MethodKind::Model => "model",
        MethodKind::Oracle => "oracle",
    }
}

/// The whole page.
pub fn page(
    result: &Evaluation,
    excerpts: &[Excerpt],
    options: &EvalOptions,
    files: usize,
) -> String {
    let mut page = HEAD.to_owned();
    page.push_str(&format!(
        "<h1>How well are instruments denoised?</h1>\n<p class=\"soft\">{files} clean recording{}, {} of sound, mixed with {} noise{} at {} dB{}; seed {}. \
         Methods {}.</p>\n",
        if files == 1 { "" } else { "s" },
        report::duration(result.seconds_of_sound),
        noises(result).len(),
        if noises(result).len() == 1 { "" } else { "s" },
        options
            .levels_db
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        cut(options.gaps),
        options.seed,
        told(options.knows_noise)
    ));
    page.push_str("<h2>Mean over everything</h2>\n");
    page.push_str(&summary(result));
    page.push_str(&margins(result));
    page.push_str("<h2>Output over input</h2>\n");
    page.push_str(&plots(result));
    page.push_str("<h2>Look and listen</h2>\n");
    page.push_str(&format!(
        "<p class=\"soft\">The first recording of each instrument. All pictures of a mixture share one colour scale, {RANGE_DB} dB below the loudest \
         of the clean recording; frequency is logarithmic. The numbers belong to this mixture: SNR, log-spectral distance (LSD, small is good). \
         Of the classical denoisers the one with the best SNR on it is shown.</p>\n"
    ));
    for excerpt in excerpts {
        page.push_str(&listen(result, excerpt));
    }
    page.push_str("<h2>All numbers</h2>\n");
    page.push_str(&all_tables(result));
    page.push_str(TAIL);
    page
}

/// Whether `value` is the best of `all` to the two decimals that are shown.
fn is_best(value: Option<f64>, all: impl Iterator<Item = f64>, more_is_better: bool) -> bool {
    let best = if more_is_better {
        all.max_by(f64::total_cmp)
    } else {
        all.min_by(f64::total_cmp)
    };
    value.zip(best).is_some_and(|(v, b)| (v - b).abs() < 0.005)
}

/// More is better in the first three measures.
const fn more_is_better(measure: usize) -> bool {
    measure < 3
}

/// Whether a method may win: not the input and not the oracle.
const fn competes(kind: MethodKind) -> bool {
    !matches!(kind, MethodKind::Noisy | MethodKind::Oracle)
}

fn summary(result: &Evaluation) -> String {
    let means = overall(result);
    let mut table = "<div class=\"wide\"><table><thead><tr><th>method</th>".to_owned();
    for column in MEASURES {
        table.push_str(&format!(
            "<th title=\"{}\">{}</th>",
            escape(column.title),
            column.short
        ));
    }
    table.push_str("<th>work per second of sound</th></tr></thead><tbody>\n");
    for (method, mean) in result.methods.iter().zip(&means) {
        table.push_str(&format!(
            "<tr class=\"{}\"><td>{}</td>",
            class(method.kind),
            escape(&method.name)
        ));
        for (c, column) in MEASURES.iter().enumerate() {
            let value = (column.take)(mean);
            let rivals = result.methods.iter().zip(&means);
            let rivals = rivals
                .filter(|(m, _)| competes(m.kind))
                .filter_map(|(_, mean)| (column.take)(mean));
            // How much is left is no contest: silence would win.
            let best = c < 4 && competes(method.kind) && is_best(value, rivals, more_is_better(c));
            table.push_str(&format!(
                "<td{}>{}</td>",
                if best { " class=\"best\"" } else { "" },
                number(value)
            ));
        }
        table.push_str(&format!("<td>{:.3} s</td></tr>\n", method.real_time_factor));
    }
    table.push_str("</tbody></table></div>\n<p class=\"soft\">dB; <b>bold</b>: best without the oracle, which knows the clean sound. LSD: log-spectral distance, small is good. \
        musical: log kurtosis ratio where only noise was, 0 is none, large is chirping, and means little where nothing is left. left, islands: what is left there, on average and its loudest thousandth, \
        against the noise.</p>\n");
    table
}

fn margins(result: &Evaluation) -> String {
    if result.margins.is_empty() {
        return String::new();
    }
    let mut table = "<h3>How far ahead are the models?</h3>\n<div class=\"wide\"><table class=\"names\"><thead><tr><th>model</th><th>ahead of</th><th>by</th><th>mean</th><th>worst</th><th>cells behind</th><th>worst cell</th></tr></thead><tbody>\n".to_owned();
    for m in &result.margins {
        table.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:+.2} dB</td><td>{:+.2} dB</td><td>{} of {}</td><td>{}</td></tr>\n",
            escape(&m.method),
            escape(&m.over),
            m.by.name(),
            m.mean_db,
            m.worst_db,
            m.cells_behind,
            m.cells,
            escape(&m.worst_cell)
        ));
    }
    table.push_str("</tbody></table></div>\n");
    table
}

fn plots(result: &Evaluation) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for cell in &result.cells {
        if !groups.contains(&cell.group.as_str()) {
            groups.push(&cell.group);
        }
    }
    let mut text = String::new();
    let snr = curves(result, |m| m.snr_db, true);
    text.push_str(&legend(&snr));
    for group in groups {
        text.push_str(&format!(
            "<h3>{}: output SNR</h3>\n<div class=\"plots\">\n",
            escape(group)
        ));
        for noise in noises(result) {
            let cells: Vec<&Cell> = result
                .cells
                .iter()
                .filter(|c| c.group == group && c.noise == noise)
                .collect();
            text.push_str(&plot(noise, "output SNR in dB", &cells, &snr));
        }
        text.push_str("</div>\n");
    }
    text
}

fn listen(result: &Evaluation, excerpt: &Excerpt) -> String {
    let mut text = format!(
        "<h3>{}, {} at {} dB</h3>\n<div class=\"sounds\">\n",
        escape(&excerpt.group),
        escape(&excerpt.noise),
        excerpt.level_db
    );
    for sound in &excerpt.sounds {
        let method = sound.method.and_then(|m| result.methods.get(m));
        let name = method.map_or("clean", |m| m.name.as_str());
        let name = escape(name);
        let numbers = sound.measures.map_or_else(String::new, |m| {
            format!(
                "SNR {:.1} dB, LSD {:.1} dB",
                m.snr_db, m.log_spectral_distance_db
            )
        });
        text.push_str(&format!(
            "<figure class=\"sound {}\"><figcaption>{name}<small>{numbers}</small></figcaption>{}\
             <audio controls preload=\"none\" src=\"{}.wav\" aria-label=\"{name}\"></audio></figure>\n",
            method.map_or("clean", |m| class(m.kind)),
            strip(sound, excerpt.seconds),
            sound.file
        ));
    }
    text.push_str("</div>\n");
    text
}

/// A spectrogram with its axes.
fn strip(sound: &Sound, seconds: f64) -> String {
    const LEFT: f64 = 34.0;
    const WIDE: f64 = 360.0;
    const TALL: f64 = 140.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"spectrogram\"><image href=\"{}.png\" x=\"{LEFT}\" y=\"2\" width=\"{WIDE}\" height=\"{TALL}\" preserveAspectRatio=\"none\"/>",
        LEFT + WIDE + 8.0,
        TALL + 18.0,
        sound.file
    );
    for (hz, label) in [
        (100.0, "100"),
        (300.0, "300"),
        (1_000.0, "1 k"),
        (3_000.0, "3 k"),
        (10_000.0, "10 k"),
    ] {
        let share = (f64::ln(hz / RANGE_HZ.0)) / (RANGE_HZ.1 / RANGE_HZ.0).ln();
        let y = 2.0 + TALL * (1.0 - share);
        svg.push_str(&format!(
            "<line class=\"tick\" x1=\"{}\" x2=\"{LEFT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 3.0,
            LEFT - 5.0,
            y + 3.5
        ));
    }
    let every = if seconds > 3.0 { 1.0 } else { 0.5 };
    let mut at = 0.0;
    while at <= seconds {
        let x = LEFT + WIDE * at / seconds.max(1e-3);
        svg.push_str(&format!(
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{0}\" y2=\"{1}\"/><text x=\"{x:.1}\" y=\"{2}\" text-anchor=\"middle\">{at}</text>",
            TALL + 2.0,
            TALL + 5.0,
            TALL + 16.0
        ));
        at += every;
    }
    svg.push_str("</svg>");
    svg
}

fn all_tables(result: &Evaluation) -> String {
    let mut text = String::new();
    for (c, column) in MEASURES.iter().enumerate() {
        text.push_str(&format!(
            "<details><summary>{}</summary>\n",
            escape(column.title)
        ));
        for noise in noises(result) {
            let cells: Vec<&Cell> = result.cells.iter().filter(|c| c.noise == noise).collect();
            text.push_str(&format!(
                "<div class=\"wide\"><table><thead><tr><th>{}</th>",
                escape(noise)
            ));
            for cell in &cells {
                text.push_str(&format!(
                    "<th>{} {} dB</th>",
                    escape(&cell.group),
                    cell.level_db
                ));
            }
            text.push_str("</tr></thead><tbody>\n");
            for (m, method) in result.methods.iter().enumerate() {
                text.push_str(&format!(
                    "<tr class=\"{}\"><td>{}</td>",
                    class(method.kind),
                    escape(&method.name)
                ));
                for cell in &cells {
                    let value = cell.means.get(m).and_then(column.take);
                    let rivals = result.methods.iter().zip(&cell.means);
                    let rivals = rivals
                        .filter(|(m, _)| competes(m.kind))
                        .filter_map(|(_, mean)| (column.take)(mean));
                    let best =
                        c < 4 && competes(method.kind) && is_best(value, rivals, more_is_better(c));
                    text.push_str(&format!(
                        "<td{}>{}</td>",
                        if best { " class=\"best\"" } else { "" },
                        number(value)
                    ));
                }
                text.push_str("</tr>\n");
            }
            text.push_str("</tbody></table></div><br>\n");
        }
        text.push_str("</details>\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(
            escape("<b a=\"1\">&</b>"),
            "&lt;b a=&quot;1&quot;&gt;&amp;&lt;/b&gt;"
        );
    }
}
