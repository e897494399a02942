//! Curves of output over input as SVG.

use drfm_engine::eval::{Cell, Evaluation, Measures, MethodKind};

/// Colours of curves that stay apart for colour-blind eyes (Okabe and Ito), in the order of methods.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#e69f00",
];
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;

/// The value of a curve in a cell.
type Value = Box<dyn Fn(&Cell) -> Option<f64>>;

/// A curve of a plot.
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    colour: String,
    dashes: &'static str,
    bold: bool,
    take: Value,
}

/// The curves of a result: input, best classical denoiser, peers, models, oracle.
pub fn curves(result: &Evaluation, take: fn(&Measures) -> f64, more_is_better: bool) -> Vec<Curve> {
    let mut curves = Vec::new();
    let one = |m: usize| -> Value { Box::new(move |cell: &Cell| cell.means.get(m).map(take)) };
    let kinds: Vec<MethodKind> = result.methods.iter().map(|m| m.kind).collect();
    let classical: Vec<usize> = (0..kinds.len())
        .filter(|m| {
            let kind = kinds.get(*m);
            matches!(
                kind,
                Some(MethodKind::Classical | MethodKind::ClassicalLive)
            )
        })
        .collect();
    if !classical.is_empty() {
        curves.push(Curve {
            name: "best classical".to_owned(),
            colour: "#555555".to_owned(),
            dashes: "",
            bold: true,
            take: Box::new(move |cell| {
                let values = classical
                    .iter()
                    .filter_map(|m| cell.means.get(*m).map(take));
                if more_is_better {
                    values.max_by(f64::total_cmp)
                } else {
                    values.min_by(f64::total_cmp)
                }
            }),
        });
    }
    let mut colours = COLOURS.iter().cycle();
    let mut next = || (*colours.next().unwrap_or(&"#000000")).to_owned();
    // Models first, so that their colours do not depend on how many peers there are.
    for wanted in [MethodKind::Model, MethodKind::Peer] {
        for (m, method) in result.methods.iter().enumerate() {
            if method.kind == wanted {
                curves.push(Curve {
                    name: method.name.clone(),
                    colour: next(),
                    dashes: if wanted == MethodKind::Peer {
                        "5 3"
                    } else {
                        ""
                    },
                    bold: wanted == MethodKind::Model,
                    take: one(m),
                });
            }
        }
    }
    for (m, method) in result.methods.iter().enumerate() {
        if matches!(method.kind, MethodKind::Noisy | MethodKind::Oracle) {
            curves.push(Curve {
                name: method.name.clone(),
                colour: "#999999".to_owned(),
                dashes: "1 3",
                bold: false,
                take: one(m),
            });
        }
    }
    curves
}

/// A legend for [`plot`]s.
pub fn legend(curves: &[Curve]) -> String {
    let items: String = curves
        .iter()
        .map(|c| {
            format!(
                "<span><svg width=\"28\" height=\"10\" aria-hidden=\"true\"><line x1=\"1\" y1=\"5\" x2=\"27\" y2=\"5\" {}/></svg>{}</span>",
                c.stroke(),
                super::html::escape(&c.name)
            )
        })
        .collect();
    format!("<div class=\"legend\">{items}</div>\n")
}

impl Curve {
    fn stroke(&self) -> String {
        format!(
            "stroke=\"{}\" stroke-width=\"{}\" stroke-dasharray=\"{}\" fill=\"none\"",
            self.colour,
            if self.bold { 2.5 } else { 1.5 },
            self.dashes
        )
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into about five.
fn step(span: f64) -> f64 {
    let rough = (span / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let times = rough / power;
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| times <= *f);
    factor.unwrap_or(10.0) * power
}

/// Curves over the input SNR through `cells`, which differ in level only.
pub fn plot(title: &str, y_title: &str, cells: &[&Cell], curves: &[Curve]) -> String {
    let mut cells = cells.to_vec();
    cells.sort_by(|a, b| a.level_db.total_cmp(&b.level_db));
    let values = || {
        let all = cells
            .iter()
            .flat_map(|c| curves.iter().map(|k| (k.take)(c)));
        all.flatten().filter(|v| v.is_finite())
    };
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    let tick = step((high - low).max(1.0));
    let (low, high) = ((low / tick).floor() * tick, (high / tick).ceil() * tick);
    let high = if high > low { high } else { low + tick };
    let levels: Vec<f64> = cells.iter().map(|c| c.level_db).collect();
    let (first, last) = (
        levels.first().copied().unwrap_or(0.0),
        levels.last().copied().unwrap_or(1.0),
    );
    let span = if last > first { last - first } else { 1.0 };
    let (wide, tall) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x = |level: f64| LEFT + (level - first) / span * wide;
    let y = |value: f64| TOP + (high - value) / (high - low) * tall;
    let mut svg = format!(
        "<figure class=\"plot\"><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        super::html::escape(title),
        super::html::escape(title)
    );
    let ticks = ((high - low) / tick).round() as usize;
    for i in 0..=ticks {
        let value = low + i as f64 * tick;
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            WIDTH - RIGHT,
            y(value),
            y(value),
            LEFT - 5.0,
            y(value) + 3.5,
            value
        ));
    }
    for level in &levels {
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\"/><text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{level}</text>\n",
            x(*level),
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 14.0
        ));
    }
    svg.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">input SNR in dB</text><text transform=\"translate(10 {:.1}) rotate(-90)\" text-anchor=\"middle\">{y_title}</text>\n",
        LEFT + wide / 2.0,
        HEIGHT - 4.0,
        TOP + tall / 2.0
    ));
    // The first curves lie on top.
    for curve in curves.iter().rev() {
        let points: Vec<(f64, f64)> = cells
            .iter()
            .filter_map(|c| Some((x(c.level_db), y((curve.take)(c)?))))
            .collect();
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        svg.push_str(&format!(
            "<polyline points=\"{}\" {}><title>{}</title></polyline>\n",
            line.join(" "),
            curve.stroke(),
            super::html::escape(&curve.name)
        ));
        for (x, y) in points {
            svg.push_str(&format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{}\"/>",
                curve.colour
            ));
        }
    }
    svg.push_str("</svg></figure>\n");
    svg
}
