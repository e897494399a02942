//! The edges of gaps: sound that stops falls to silence, and sound that comes back rises from it.

/// How fast the last sample falls to zero, in seconds.
const FALL_SECONDS: f32 = 0.002;
/// How fast the sound comes back, in seconds.
const RISE_SECONDS: f32 = 0.005;

/// Smooths the edges of gaps in interleaved sound. Sound without gaps passes as it is, bit for bit.
pub struct Edges {
    /// The last frame that was heard.
    last: Vec<f32>,
    /// What falls to silence in a gap, and the share of it that is left.
    tail: Vec<f32>,
    left: f32,
    /// Gain of the sound.
    gain: f32,
    /// Whether the last frame was sound; before the first sound there is no edge.
    sounding: bool,
    fall: f32,
    rise: f32,
}

impl Edges {
    /// For `channels` channels at `rate_hz`; the sound begins at full level.
    #[must_use]
    pub fn new(channels: usize, rate_hz: u32) -> Self {
        let step = |seconds: f32| 1.0 / (seconds * rate_hz as f32).max(1.0);
        Self {
            last: vec![0.0; channels],
            tail: vec![0.0; channels],
            left: 0.0,
            gain: 1.0,
            sounding: false,
            fall: step(FALL_SECONDS),
            rise: step(RISE_SECONDS),
        }
    }

    /// Frames of sound.
    pub fn sound(&mut self, frames: &mut [f32]) {
        let channels = self.last.len().max(1);
        if self.gain < 1.0 || self.left > 0.0 {
            for frame in frames.chunks_mut(channels) {
                self.left = (self.left - self.fall).max(0.0);
                for (x, t) in frame.iter_mut().zip(&self.tail) {
                    *x = *x * self.gain + t * self.left;
                }
                self.gain = (self.gain + self.rise).min(1.0);
            }
        }
        if let Some(frame) = frames.rchunks(channels).next() {
            self.last.copy_from_slice(frame);
            self.sounding = true;
        }
    }

    /// The next frame of sound does not continue the last one: between the two is an edge.
    pub fn cut(&mut self) {
        if std::mem::take(&mut self.sounding) {
            self.tail.copy_from_slice(&self.last);
            self.left = 1.0;
            self.gain = 0.0;
        }
    }

    /// Frames of a gap.
    pub fn gap(&mut self, frames: &mut [f32]) {
        let channels = self.last.len().max(1);
        self.cut();
        for frame in frames.chunks_mut(channels) {
            self.left = (self.left - self.fall).max(0.0);
            for (x, t) in frame.iter_mut().zip(&self.tail) {
                *x = t * self.left;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_no_clicks_and_the_rest_is_untouched() {
        let mut edges = Edges::new(2, 48_000);
        let mut before = vec![9.0f32; 100];
        edges.gap(&mut before);
        assert!(before.iter().all(|x| *x == 0.0));
        let mut x = vec![0.5f32; 2000];
        edges.sound(&mut x);
        assert!(x.iter().all(|x| *x == 0.5));
        let mut all = x.clone();
        let mut gap = vec![9.0f32; 2000];
        edges.gap(&mut gap);
        assert_eq!(gap.last(), Some(&0.0), "silence, not old sound");
        all.extend(&gap);
        let mut back = vec![0.5f32; 2000];
        edges.sound(&mut back);
        assert_eq!(back.last(), Some(&0.5));
        all.extend(&back);
        // A gap that is shorter than its edges.
        let mut short = vec![9.0f32; 40];
        edges.gap(&mut short);
        all.extend(&short);
        let mut back = vec![0.5f32; 2000];
        edges.sound(&mut back);
        all.extend(&back);
        for pair in all.chunks(2).collect::<Vec<_>>().windows(2) {
            assert!((pair[1][0] - pair[0][0]).abs() < 0.02);
        }
    }
}
