//! Levels on their way from the audio thread to whoever shows them.

use std::sync::atomic::{AtomicU32, Ordering};

/// Highest absolute sample of each channel since it was last looked at.
#[derive(Default)]
pub struct Peaks {
    channels: [AtomicU32; 2],
}

impl Peaks {
    /// Takes a block in. Never waits.
    pub fn hear(&self, block: &[&mut [f32]]) {
        for (place, channel) in self.channels.iter().zip(block) {
            let peak = channel
                .iter()
                .map(|x| x.abs())
                .filter(|x| x.is_finite())
                .fold(0.0f32, f32::max);
            // The bits of positive numbers are in the order of the numbers.
            place.fetch_max(peak.to_bits(), Ordering::Relaxed);
        }
    }

    /// The peaks since the last call.
    #[must_use]
    pub fn take(&self) -> [f32; 2] {
        [0, 1].map(|c| {
            self.channels
                .get(c)
                .map_or(0.0, |p| f32::from_bits(p.swap(0, Ordering::Relaxed)))
        })
    }
}

/// Levels of input and output.
#[derive(Default)]
pub struct Meters {
    /// Of the input.
    pub input: Peaks,
    /// Of the output.
    pub output: Peaks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_sample_is_kept_until_it_is_read() {
        let peaks = Peaks::default();
        peaks.hear(&[&mut [0.1, -0.7], &mut [0.2, f32::NAN]]);
        peaks.hear(&[&mut [0.3], &mut [0.1]]);
        assert_eq!(peaks.take(), [0.7, 0.2]);
        assert_eq!(peaks.take(), [0.0, 0.0]);
    }
}
