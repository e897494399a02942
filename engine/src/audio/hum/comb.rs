//! A comb of oscillators at the harmonics of one slowly changing frequency: what a sound holds there, and the sum of them.

use pulp::{Arch, Simd, WithSimd};
use realfft::num_complex::{Complex32, Complex64};

/// Samples that are worked on at once; the frequency changes only between such pieces.
pub(super) const PIECE: usize = 64;
/// Sums that are taken side by side, so that they fit any vector.
const LANES: usize = 16;

/// The oscillators. Harmonic `h` (0 for the fundamental) turns `h + 1` times as fast as the fundamental.
#[derive(Clone)]
pub(super) struct Comb {
    rate_hz: f64,
    hz: f64,
    /// Angle of the fundamental at the sample after the piece.
    turn: f64,
    /// The fundamental over the piece.
    re: [f32; PIECE],
    im: [f32; PIECE],
    /// Sums over the hop of what is heard times the conjugate oscillator, as it is and under the rising half of the window.
    all: Vec<Complex32>,
    rising: Vec<Complex32>,
    /// The latter over the hop before.
    rising_before: Vec<Complex32>,
    /// Harmonics in use.
    count: usize,
    arch: Arch,
}

impl Comb {
    /// For up to `most` harmonics; allocates.
    pub(super) fn new(rate_hz: u32, most: usize) -> Self {
        Self {
            rate_hz: f64::from(rate_hz),
            hz: 0.0,
            turn: 0.0,
            re: [0.0; PIECE],
            im: [0.0; PIECE],
            all: vec![Complex32::default(); most],
            rising: vec![Complex32::default(); most],
            rising_before: vec![Complex32::default(); most],
            count: 0,
            arch: Arch::new(),
        }
    }

    /// Starts with `count` harmonics of `hz`.
    pub(super) fn start(&mut self, hz: f64, count: usize) {
        self.hz = hz;
        self.turn = 0.0;
        self.count = count.min(self.all.len());
        self.forget_sums();
        self.begin_piece();
    }

    fn forget_sums(&mut self) {
        for sums in [&mut self.all, &mut self.rising, &mut self.rising_before] {
            sums.fill(Complex32::default());
        }
    }

    pub(super) const fn hz(&self) -> f64 {
        self.hz
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The fundamental of the next piece.
    pub(super) fn begin_piece(&mut self) {
        let step = std::f64::consts::TAU * self.hz / self.rate_hz;
        let turned = |angle: f64| Complex64::new(libm::cos(angle), libm::sin(angle));
        let by = turned(step);
        let mut now = turned(self.turn);
        for (re, im) in self.re.iter_mut().zip(&mut self.im) {
            *re = now.re as f32;
            *im = now.im as f32;
            now *= by;
        }
        self.turn = (self.turn + step * PIECE as f64) % std::f64::consts::TAU;
    }

    /// Adds the piece that was heard to the sums; `rise` is the window over it.
    pub(super) fn hear(&mut self, heard: &[f32; PIECE], rise: &[f32; PIECE]) {
        self.arch.dispatch(Hear {
            comb: self,
            heard,
            rise,
        });
    }

    /// The sum of the harmonics over the piece, each with its amplitude at the start of the piece and its change over it.
    pub(super) fn sum_into(
        &self,
        amplitude: &[Complex32],
        change: &[Complex32],
        out: &mut [f32; PIECE],
    ) {
        self.arch.dispatch(Sum {
            comb: self,
            amplitude,
            change,
            out,
        });
    }

    /// Ends a hop of `hop` samples: the amplitude of each harmonic under the window over the last two hops, as
    /// oscillations from now on are counted.
    pub(super) fn end_hop(&mut self, hop: usize, amplitudes: &mut [Complex32]) {
        let scale = 2.0 / hop as f32;
        for (h, amplitude) in amplitudes.iter_mut().enumerate().take(self.count) {
            let falling = self.all[h] - self.rising[h];
            *amplitude = (self.rising_before[h] + falling) * scale;
            self.rising_before[h] = self.rising[h];
            self.rising[h] = Complex32::default();
            self.all[h] = Complex32::default();
        }
    }

    /// Sets the frequency, and turns the fundamental ahead by `angle`; call it between a hop and the next piece.
    pub(super) fn steer(&mut self, hz: f64, angle: f64) {
        self.hz = hz;
        self.turn += angle;
        turn_back(&mut self.rising_before[..self.count], angle);
    }

    /// Runs forwards from now on after everything was heard backwards; call it when a piece has begun.
    pub(super) fn turn_round(&mut self) {
        let step = std::f64::consts::TAU * self.hz / self.rate_hz;
        self.turn = step - (self.turn - step * PIECE as f64);
        self.forget_sums();
        self.begin_piece();
    }
}

/// One piece of [`Comb::hear`]. No closure, nor is [`Sum`]: it would not be compiled for the instructions chosen at run time.
struct Hear<'a> {
    comb: &'a mut Comb,
    heard: &'a [f32; PIECE],
    rise: &'a [f32; PIECE],
}

impl WithSimd for Hear<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { comb, heard, rise } = self;
        let mut risen = [0.0; PIECE];
        for ((r, x), w) in risen.iter_mut().zip(heard).zip(rise) {
            *r = x * w;
        }
        let (mut re, mut im) = (comb.re, comb.im);
        let sums = comb.all.iter_mut().zip(&mut comb.rising);
        for (all, rising) in sums.take(comb.count) {
            *all += Complex32::new(dot(heard, &re), -dot(heard, &im));
            *rising += Complex32::new(dot(&risen, &re), -dot(&risen, &im));
            next_harmonic((&comb.re, &comb.im), &mut re, &mut im);
        }
    }
}

/// One piece of [`Comb::sum_into`].
struct Sum<'a> {
    comb: &'a Comb,
    amplitude: &'a [Complex32],
    change: &'a [Complex32],
    out: &'a mut [f32; PIECE],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            comb,
            amplitude,
            change,
            out,
        } = self;
        out.fill(0.0);
        let (mut re, mut im) = (comb.re, comb.im);
        for (a, change) in amplitude.iter().zip(change).take(comb.count) {
            let d = change / PIECE as f32;
            if d != Complex32::default() {
                for i in 0..PIECE {
                    let along = i as f32;
                    let (x, y) = (a.re + d.re * along, a.im + d.im * along);
                    out[i] += x * re[i] - y * im[i];
                }
            } else if *a != Complex32::default() {
                for i in 0..PIECE {
                    out[i] += a.re * re[i] - a.im * im[i];
                }
            }
            next_harmonic((&comb.re, &comb.im), &mut re, &mut im);
        }
    }
}

/// From one harmonic to the next, over a piece: turned once more by the fundamental.
#[inline(always)]
fn next_harmonic(
    fundamental: (&[f32; PIECE], &[f32; PIECE]),
    re: &mut [f32; PIECE],
    im: &mut [f32; PIECE],
) {
    let (fre, fim) = fundamental;
    for i in 0..PIECE {
        let (a, b) = (re[i], im[i]);
        re[i] = a * fre[i] - b * fim[i];
        im[i] = a * fim[i] + b * fre[i];
    }
}

/// Multiplies the oscillation of each harmonic, from the fundamental on, by what it takes when the fundamental has been turned
/// ahead by `angle`.
pub(super) fn turn_back(oscillations: &mut [Complex32], angle: f64) {
    let one = Complex64::new(libm::cos(angle), -libm::sin(angle));
    let mut turn = one;
    for z in oscillations {
        *z *= Complex32::new(turn.re as f32, turn.im as f32);
        turn *= one;
    }
}

/// The sum of products, in an order that does not depend on the processor.
#[inline(always)]
fn dot(a: &[f32; PIECE], b: &[f32; PIECE]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
