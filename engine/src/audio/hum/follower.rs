//! One comb of sines, found or told beforehand, followed and taken away.

use realfft::num_complex::Complex32;

use super::MAINS_HZ;
use super::comb::{PIECE, turn_back};
use super::finder::{Finder, is_of_mains};
use super::lines::{Fate, Lines, MOST, Proof};
use super::search::Search;
use super::tones::Tones;
use crate::audio::denoiser::BROKEN_ABOVE;
use crate::audio::noise::{KEPT, NoiseSpectrum};

/// Samples at 48 kHz from one estimate to the next, 85 ms; windows are twice as long, so that harmonics do not mix.
const HOP_AT_48K: f64 = 4096.0;
/// New amplitudes are reached in so many pieces of 64 samples, so that nothing clicks.
const GLIDE: usize = 16;
/// Harmonics above this share of the sample rate are left alone.
const HIGHEST_SHARE: f64 = 0.45;
/// What is left of the noise changes in this 64th of a hop: whoever hears of it has work with it, and little else then.
const ANNOUNCED_AT: usize = 29;
/// What is left of the power of a line in the noise spectrum where it is taken away as a sine.
const RESIDUE: f32 = 0.01;
/// Bins to either side that a line covers in kept spectra (drift included); the next beyond are taken for the noise around it.
const LOBE: usize = 3;
/// A peak is a line if it is this much above the noise around it.
const PEAK: f32 = 1.5;
/// Hops that analysis windows under way may reach back.
const HOPS_BACK: usize = 2;

/// What looks for a comb while none is followed.
#[derive(Clone)]
enum Seeker {
    /// Nothing: it is told.
    None,
    /// Hum of the mains.
    Mains(Box<[Search; 2]>),
    /// A comb of any frequency.
    Any(Box<Finder>),
}

/// A comb that was found but is not proven.
#[derive(Clone, Copy)]
struct Find {
    nominal_hz: f64,
    hz: f64,
    proof: Proof,
}

/// Takes one comb out of one channel.
#[derive(Clone)]
pub(super) struct CombFollower {
    rate_hz: u32,
    hop: usize,
    /// Rising half of the window, a piece at a time.
    rise: Vec<[f32; PIECE]>,
    heard: [f32; PIECE],
    /// Sum of the squares of the hop.
    energy: f32,
    hum: [f32; PIECE],
    /// Samples of the piece, and pieces of the hop, that are done.
    filled: usize,
    pieces: usize,
    seeker: Seeker,
    /// The last find.
    find: Option<Find>,
    told: Tones,
    /// Piece of a hop with which what is left of the noise changes.
    announces: usize,
    /// Whether there is something to announce.
    changed: bool,
    lines: Lines,
    /// Whether lines are followed (or looked for).
    following: bool,
    /// Amplitude that is being taken away, its change over a piece, and pieces that it still changes for.
    taken: Vec<Complex32>,
    change: Vec<Complex32>,
    gliding: usize,
    /// How far each line has been believed in the last hops, newest first.
    believed: [Vec<f32>; HOPS_BACK + 1],
}

impl CombFollower {
    /// Looks for mains hum. Allocates everything it will ever need; not for the audio thread.
    pub(super) fn of_mains(rate_hz: u32) -> Self {
        let mut follower = Self::of_tones(rate_hz);
        let hop = follower.hop;
        let searches = MAINS_HZ.map(|hz| Search::new(rate_hz, hz, hop));
        follower.seeker = Seeker::Mains(Box::new(searches));
        follower
    }

    /// Looks for a buzz of any frequency in the channel of this number. Allocates everything it will ever need; not for the audio
    /// thread.
    pub(super) fn of_any(rate_hz: u32, number: usize) -> Self {
        let mut follower = Self::of_tones(rate_hz);
        follower.seeker = Seeker::Any(Box::new(Finder::new(rate_hz, follower.hop, number)));
        follower
    }

    /// The same for a comb that it is told, nothing until then.
    pub(super) fn of_tones(rate_hz: u32) -> Self {
        let pieces = (HOP_AT_48K * f64::from(rate_hz) / 48_000.0 / PIECE as f64).round() as usize;
        let pieces = pieces.max(1);
        let hop = pieces * PIECE;
        let rise = (0..pieces)
            .map(|p| {
                std::array::from_fn(|i| {
                    let along = (p * PIECE + i) as f64 + 0.5;
                    (0.5 - 0.5 * libm::cos(std::f64::consts::PI * along / hop as f64)) as f32
                })
            })
            .collect();
        Self {
            rate_hz,
            hop,
            rise,
            heard: [0.0; PIECE],
            energy: 0.0,
            hum: [0.0; PIECE],
            filled: 0,
            pieces: 0,
            seeker: Seeker::None,
            find: None,
            told: Tones::none(),
            announces: pieces * ANNOUNCED_AT / 64,
            changed: false,
            lines: Lines::new(rate_hz, hop),
            following: false,
            taken: vec![Complex32::default(); MOST],
            change: vec![Complex32::default(); MOST],
            gliding: 0,
            believed: std::array::from_fn(|_| vec![0.0; MOST]),
        }
    }

    /// Follows these tones from now on; none: nothing, or what it finds. Never allocates.
    pub(super) fn follow(&mut self, tones: &Tones) {
        if self.told == *tones {
            return;
        }
        self.told.copy_from(tones);
        self.hum.fill(0.0);
        self.begin_anew();
    }

    /// Forgets everything that was heard. Never allocates.
    pub(super) fn clear(&mut self) {
        self.hum.fill(0.0);
        self.filled = 0;
        self.pieces = 0;
        self.begin_anew();
    }

    /// Drops what is followed or about to be found.
    pub(super) fn begin_anew(&mut self) {
        match &mut self.seeker {
            Seeker::None => {}
            Seeker::Mains(searches) => searches.iter_mut().for_each(Search::clear),
            Seeker::Any(finder) => finder.clear(),
        }
        self.energy = 0.0;
        self.following = !self.told.is_none();
        if self.following {
            self.lines.follow(&self.told);
        }
        self.taken.fill(Complex32::default());
        self.change.fill(Complex32::default());
        self.gliding = 0;
        self.changed = true;
        for believed in &mut self.believed {
            believed.fill(0.0);
        }
    }

    /// Samples until what is left of the noise may change.
    pub(super) const fn wanted(&self) -> usize {
        let border = if self.pieces < self.announces {
            self.announces
        } else {
            self.rise.len()
        };
        (border - self.pieces) * PIECE - self.filled
    }

    /// Whether lines are being taken away, so that [`Self::soften`] has something to say.
    pub(super) const fn is_active(&self) -> bool {
        self.following && self.lines.is_proven()
    }

    /// The frequency of the fundamental in Hz, if it is being taken away.
    pub(super) fn hz(&self) -> Option<f64> {
        self.is_active().then(|| self.lines.comb.hz())
    }

    /// Takes the comb out of `input`, into `output` of the same length; true if [`Self::soften`] has something else to say than
    /// before. Broken samples are passed on, but not listened to. Never allocates, locks or waits: safe on the audio thread.
    pub(super) fn process(&mut self, input: &[f32], output: &mut [f32]) -> bool {
        let mut changed = false;
        let mut done = 0;
        while done < input.len() {
            let n = self.left_in_piece().min(input.len() - done);
            let heard = &input[done..done + n];
            for ((y, x), hum) in output[done..].iter_mut().zip(heard).zip(self.coming(n)) {
                *y = x - hum;
            }
            changed |= self.hear(heard);
            done += n;
        }
        changed
    }

    /// Samples up to which [`Self::coming`] is known.
    pub(super) const fn left_in_piece(&self) -> usize {
        PIECE - self.filled
    }

    /// What is taken away from the next `n` samples, up to [`Self::left_in_piece`].
    pub(super) fn coming(&self, n: usize) -> &[f32] {
        &self.hum[self.filled..self.filled + n]
    }

    /// Hears up to [`Self::left_in_piece`] samples; returns what [`Self::process`] does.
    pub(super) fn hear(&mut self, samples: &[f32]) -> bool {
        for (heard, x) in self.heard[self.filled..].iter_mut().zip(samples) {
            // NaN is not below anything.
            let usable = x.abs() <= BROKEN_ABOVE;
            *heard = if usable { *x } else { 0.0 };
        }
        self.filled += samples.len();
        if self.filled < PIECE {
            return false;
        }
        self.filled = 0;
        self.end_piece();
        let changed = self.changed && self.pieces == self.announces;
        if changed {
            self.changed = false;
        }
        changed
    }

    fn end_piece(&mut self) {
        let rise = &self.rise[self.pieces];
        if self.following {
            self.lines.comb.hear(&self.heard, rise);
            self.energy += self.heard.iter().map(|x| x * x).sum::<f32>();
        } else {
            match &mut self.seeker {
                Seeker::None => {}
                Seeker::Mains(searches) => {
                    for search in searches.iter_mut() {
                        search.comb_mut().hear(&self.heard, rise);
                    }
                }
                Seeker::Any(finder) => finder.hear(&self.heard, self.pieces),
            }
        }
        self.pieces += 1;
        if self.pieces == self.rise.len() {
            self.pieces = 0;
            let was_active = self.is_active();
            self.end_hop();
            self.changed |= was_active || self.is_active();
        }
        self.begin_piece();
    }

    fn begin_piece(&mut self) {
        if !self.following {
            self.hum.fill(0.0);
            if let Seeker::Mains(searches) = &mut self.seeker {
                for search in searches.iter_mut() {
                    search.comb_mut().begin_piece();
                }
            }
            return;
        }
        self.lines.comb.begin_piece();
        if !self.lines.is_proven() {
            self.hum.fill(0.0);
            return;
        }
        self.lines
            .comb
            .sum_into(&self.taken, &self.change, &mut self.hum);
        if self.gliding > 0 {
            self.gliding -= 1;
            for (taken, change) in self.taken.iter_mut().zip(&mut self.change) {
                *taken += *change;
                if self.gliding == 0 {
                    *change = Complex32::default();
                }
            }
        }
    }

    fn end_hop(&mut self) {
        if !self.following {
            if let Some(find) = self.seek() {
                self.start(find);
            }
            return;
        }
        let power = std::mem::take(&mut self.energy) / self.hop as f32;
        let (fate, angle) = self.lines.end_hop(self.hop, power);
        if fate == Fate::Gone {
            self.begin_anew();
            return;
        }
        turn_back(&mut self.taken, angle);
        self.believed.rotate_right(1);
        let proven = self.lines.is_proven();
        if !proven {
            self.taken.fill(Complex32::default());
        }
        for h in 0..self.lines.comb.count() {
            let weight = if proven { self.lines.weight(h) } else { 0.0 };
            self.believed[0][h] = weight;
            let target = self.lines.amplitude(h) * weight;
            self.change[h] = (target - self.taken[h]) / GLIDE as f32;
        }
        self.gliding = GLIDE;
    }

    /// Ends a hop without a comb; what may be one.
    fn seek(&mut self) -> Option<Find> {
        match &mut self.seeker {
            Seeker::None => None,
            Seeker::Mains(searches) => {
                let mut best = None;
                let mut most = 0.0;
                for (search, nominal_hz) in searches.iter_mut().zip(MAINS_HZ) {
                    if let Some((agreement, hz)) = search.end_hop(self.hop)
                        && agreement > most
                    {
                        most = agreement;
                        best = Some(Find {
                            nominal_hz,
                            hz,
                            proof: Proof::MAINS,
                        });
                    }
                }
                best
            }
            Seeker::Any(finder) => finder.found().map(|hz| Find {
                nominal_hz: hz,
                hz,
                proof: if is_of_mains(hz) {
                    Proof::RECTIFIED
                } else {
                    Proof::ANY
                },
            }),
        }
    }

    /// Follows what was found, for a proof.
    fn start(&mut self, find: Find) {
        let count = HIGHEST_SHARE * f64::from(self.rate_hz) / find.hz;
        self.lines
            .start(find.nominal_hz, find.hz, count as usize, find.proof);
        self.find = Some(find);
        self.following = true;
    }

    /// Gets to know the comb from the beginning of a recording: hears `samples` backwards, so that it ends where the
    /// recording starts. Not for the audio thread.
    pub(super) fn prime(&mut self, samples: &[f32]) {
        self.clear();
        self.hear_backwards(samples);
        if let Some(find) = self.find
            && self.told.is_none()
            && self.following
            && !self.is_active()
        {
            // Found late: the proof may take the whole of it.
            self.clear();
            self.start(find);
            self.hear_backwards(samples);
        }
        if !self.is_active() {
            self.clear();
            return;
        }
        self.lines.turn_round();
        self.pieces = 0;
        for h in 0..self.lines.comb.count() {
            self.taken[h] = self.lines.amplitude(h) * self.lines.weight(h);
        }
        self.change.fill(Complex32::default());
        self.gliding = 0;
        let newest = self.believed[0].clone();
        for believed in &mut self.believed {
            believed.copy_from_slice(&newest);
        }
        self.lines
            .comb
            .sum_into(&self.taken, &self.change, &mut self.hum);
    }

    fn hear_backwards(&mut self, samples: &[f32]) {
        let whole = samples.len() / PIECE * PIECE;
        let mut piece = [0.0; PIECE];
        let mut out = [0.0; PIECE];
        for chunk in samples[..whole].rchunks(PIECE) {
            for (p, x) in piece.iter_mut().zip(chunk.iter().rev()) {
                *p = *x;
            }
            self.process(&piece, &mut out);
        }
    }

    /// Takes the lines out of `noise` that are taken out of the sound. Never allocates.
    pub(super) fn soften(&self, noise: &mut NoiseSpectrum) {
        if !self.is_active() {
            return;
        }
        let window = KEPT.at_rate(self.rate_hz).window as f32;
        let bin_hz = self.rate_hz as f32 / window;
        let bins = noise.power.len();
        for h in 0..self.lines.comb.count() {
            let believed = self
                .believed
                .iter()
                .fold(1.0f32, |least, b| least.min(b[h]));
            let centre = ((h + 1) as f32 * self.lines.comb.hz() as f32 / bin_hz).round() as usize;
            if believed <= 0.0 || centre <= LOBE || centre + LOBE + 1 >= bins {
                continue;
            }
            let lobe = centre - LOBE..centre + LOBE + 1;
            let around = 0.5 * (noise.power[lobe.start - 1] + noise.power[lobe.end]);
            let peak = noise.power[lobe.clone()]
                .iter()
                .fold(0.0f32, |m, p| m.max(*p));
            if peak <= PEAK * around {
                continue;
            }
            // A sine of amplitude a has a^2 N / 6 at the top under a Hann window of unit energy.
            let line = self.lines.amplitude(h).norm_sqr() * window / 6.0;
            let share = believed * (line / peak).min(1.0);
            let residue = self.lines.uncertainty(h).max(RESIDUE);
            for p in &mut noise.power[lobe] {
                let rest = *p * (1.0 - share * (1.0 - residue));
                *p = rest.max(around.min(*p));
            }
        }
    }
}
