//! A level meter with a peak that stays for a while and a light for clipping that stays until it is clicked.

use egui::{Align2, Rect, Sense, Stroke, Ui, pos2};

use super::theme;

/// Lowest level shown, in dB.
const LOWEST_DB: f32 = -60.0;
/// How fast the bar falls.
const FALL_DB_PER_SECOND: f32 = 24.0;
/// How long the peak stays.
const HOLD_SECONDS: f32 = 1.5;

/// What a meter remembers.
#[derive(Clone, Copy, Default)]
pub struct Meter {
    level_db: [Level; 2],
    clipped: bool,
}

#[derive(Clone, Copy)]
struct Level {
    bar: f32,
    peak: f32,
    age: f32,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            bar: LOWEST_DB,
            peak: LOWEST_DB,
            age: 0.0,
        }
    }
}

impl Meter {
    /// Takes in the peaks since the last frame, `seconds` ago.
    pub fn hear(&mut self, peaks: [f32; 2], seconds: f32) {
        for (level, peak) in self.level_db.iter_mut().zip(peaks) {
            let db = (20.0 * peak.max(1e-6).log10()).max(LOWEST_DB);
            level.bar = db.max(level.bar - FALL_DB_PER_SECOND * seconds);
            level.age += seconds;
            if db >= level.peak || level.age > HOLD_SECONDS {
                level.peak = level.bar.max(db);
                level.age = 0.0;
            }
            self.clipped |= peak > 1.0;
        }
    }

    /// Draws it.
    pub fn show(&mut self, ui: &mut Ui, rect: Rect, label: &str, channels: usize) {
        let id = ui.scope_id().with(label);
        let response = ui
            .interact(rect, id, Sense::click())
            .on_hover_text(format!("{label} level. Click to reset the clip light."));
        if response.clicked() {
            self.clipped = false;
        }
        let painter = ui.painter();
        let light = Rect::from_min_max(rect.min, pos2(rect.max.x, rect.min.y + 7.0));
        let clip = if self.clipped {
            theme::ALARM
        } else {
            theme::WELL
        };
        painter.rect_filled(light, 2.0, clip);
        let bars = Rect::from_min_max(
            pos2(rect.min.x, rect.min.y + 10.0),
            pos2(rect.max.x, rect.max.y - 18.0),
        );
        let y = |db: f32| egui::remap_clamp(db, LOWEST_DB..=3.0, bars.max.y..=bars.min.y);
        let count = channels.clamp(1, 2);
        let width = (bars.width() - 2.0 * (count - 1) as f32) / count as f32;
        for (i, level) in self.level_db.iter().take(count).enumerate() {
            let left = bars.min.x + i as f32 * (width + 2.0);
            let well = Rect::from_min_max(pos2(left, bars.min.y), pos2(left + width, bars.max.y));
            painter.rect_filled(well, 2.0, theme::WELL);
            for (from, to, colour) in [
                (LOWEST_DB, -12.0, theme::OUTPUT),
                (-12.0, -3.0, theme::NOISE),
                (-3.0, 3.0, theme::ALARM),
            ] {
                let top = level.bar.min(to);
                if top > from {
                    let part = Rect::from_min_max(pos2(left, y(top)), pos2(left + width, y(from)));
                    painter.rect_filled(part, 1.0, theme::faint(colour, 0.85));
                }
            }
            if level.peak > LOWEST_DB {
                let line = [pos2(left, y(level.peak)), pos2(left + width, y(level.peak))];
                painter.line_segment(line, Stroke::new(1.5, theme::TEXT));
            }
        }
        painter.text(
            pos2(rect.center().x, rect.max.y - 7.0),
            Align2::CENTER_CENTER,
            label,
            theme::font(11.0),
            theme::DIM,
        );
    }
}
