//! A delay line that never allocates after it is made.

/// Delays samples by a fixed number.
#[derive(Clone)]
pub struct DelayLine {
    samples: Vec<f32>,
    next: usize,
}

impl DelayLine {
    /// Silence of `delay` samples.
    #[must_use]
    pub fn new(delay: usize) -> Self {
        Self {
            samples: vec![0.0; delay],
            next: 0,
        }
    }

    /// Puts `input` in and takes as many samples out into `output`.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        if self.samples.is_empty() {
            output.copy_from_slice(input);
            return;
        }
        for (x, y) in input.iter().zip(output) {
            *y = std::mem::replace(&mut self.samples[self.next], *x);
            self.next += 1;
            if self.next == self.samples.len() {
                self.next = 0;
            }
        }
    }

    /// Back to silence.
    pub fn clear(&mut self) {
        self.samples.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_by_the_number_given() {
        for delay in [0, 1, 5] {
            let mut line = DelayLine::new(delay);
            let x: Vec<f32> = (1..20).map(|i| i as f32).collect();
            let mut y = vec![0.0; x.len()];
            line.process(&x[..3], &mut y[..3]);
            line.process(&x[3..], &mut y[3..]);
            for (i, y) in y.iter().enumerate() {
                assert_eq!(*y, if i < delay { 0.0 } else { x[i - delay] });
            }
        }
    }
}
