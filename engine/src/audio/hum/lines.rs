//! The harmonics of a hum: amplitude and phase of each, followed through the music.

use realfft::num_complex::Complex32;

use super::comb::{Comb, turn_back};
use super::search::TOLERANCE;
use super::tones::Tones;
use crate::audio::noise_level::quantile;

/// Most harmonics; at 50 Hz up to 10 kHz.
pub(super) const MOST: usize = 200;
/// Hops over which an amplitude is averaged, 2 s.
const MEMORY: usize = 24;
/// Harmonics are put to the proof over so many hops, 0.6 s, and as many after: what they hold must be the same amplitude and
/// phase, but for this share. Notes decay, and are a little out of tune.
const HALF_PROOF: usize = 7;
const SAME: f32 = 0.3;
/// The first hops are not counted, until the frequency has settled.
const SETTLING: usize = 2;
/// Of so many harmonics some must pass; of those that seem to be there at least this share.
const AMONG: usize = 24;
const PASS_SHARE: f32 = 0.25;
/// It is given up when fewer than this pass so many proofs in a row, 5 s.
const LEAST: usize = 3;
const PATIENCE: usize = 4;
/// Next to nothing else is heard if a comb has this share of the power.
const ALONE: f32 = 0.9;
/// A find is put to so many proofs in a row.
const PROOFS: usize = 3;
/// Share of a measured error of the phase that is made up for at once, of that which is taken for one of the frequency, and of that
/// for one of its change from hop to hop. Files of `train`, 6 guitar and 3 flute, mode live, a dimmer whose mains drift by 4 to 8 mHz a
/// second, nobody tells, 0 dB: with 0.3 and 0 19.65 and 21.89 dB, 0.3 and 0.04 21.56 and 23.22, 0.35 and 0.025 21.50 and 23.21; learned,
/// 20 dB, flute 36.89, 36.60 and 36.72.
const PHASE_GAIN: f64 = 0.7;
const FREQUENCY_GAIN: f64 = 0.35;
const DRIFT_GAIN: f64 = 0.025;
/// Most of that change, against the frequency.
const MOST_DRIFT: f64 = 2e-4;
/// A harmonic's amplitude moves by at most so many of its usual deviations, times the share of a hop.
const CLIP: f32 = 2.0;
/// By what the usual deviation, a median, is multiplied or divided each hop.
const DEVIATION_STEP: f32 = 1.078;
/// A harmonic is there for certain if its amplitude is this many usual deviations, and not at all below the other.
const FULL: f32 = 1.2;
const NOTHING: f32 = 0.6;
/// The same for a comb that was told: an average of two seconds is surer than what it is the average of. Files of `train`, 3 guitar and 2
/// flute, mode live, hum of 50 and 60 Hz learned, mean of 0 and 20 dB, with the two above, 0.5 and 0.25, these, 0.2 and 0.05: guitar 28.25
/// 29.77 30.13 30.21 dB, flute 34.35 34.67 34.68 34.68 dB. A comb that was found would eat notes that are in tune with it: fingerpicked
/// guitar over a transformer 19.2 dB with the two above, 16.1 with 0.5 and 0.25.
const TOLD_FULL: f32 = 0.3;
const TOLD_NOTHING: f32 = 0.1;
/// The common level changes if at least so many harmonics say so, ...
const LEVEL_LINES: usize = 4;
/// ... by more than this and by more than so many times the uncertainty of what they say, which must not exceed the third.
const LEVEL_CHANGE: f32 = 0.2;
const LEVEL_SURE: f32 = 4.0;
const LEVEL_UNCERTAINTY: f32 = 0.08;
/// A comb that was told is believed after so many hops, when its frequency has settled, ...
const TOLD_HOPS: usize = 3;
/// ... none of its lines to be louder than so many times what it was told, ...
const TOLD_LOUDER: f32 = 1.6;
/// ... each uncertain at first by this share of its amplitude, later by no less than the other; ...
const TOLD_UNCERTAIN: f32 = 0.5;
const TOLD_CERTAIN: f32 = 0.02;
/// ... its phase is followed as far as its lines are clear: if the clearness of all is that of so many times the highest, by half; ...
const TOLD_CLEAR: f64 = 1.0;
/// ... and of a line so many times the square of its usual deviation may be left. Files of `train`, 6 guitar and 3 flute, a whine of
/// 1 kHz and harmonics, hum of 50 Hz, mean of 0, 10 and 20 dB in mode best, with 0, this, and 1: guitar 30.55 30.65 30.84 and 30.13
/// 29.99 29.46 dB, flute 28.56 28.78 29.18 and 40.05 39.90 39.54 dB.
const TOLD_LEFT: f32 = 0.3;
/// It has come back when most of its lines are as loud as it was told, but for this factor, and less than this share of the power that
/// it was told was held.
const TOLD_BACK: f32 = 0.6;
const TOLD_AWAY: f32 = 0.1;
/// Below this share of what it was, the hum is gone.
const GONE: f32 = 0.1;

/// How a find is put to the proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    /// So many of the first harmonics must pass, ...
    pass: usize,
    /// ... and so many times a harmonic and the next, so that no note of a harmonic's pitch passes for hum, ...
    pairs: usize,
    /// ... in so many proofs, and in so many if next to nothing else is heard, when it could be a note that is held.
    times: usize,
    times_alone: usize,
    /// Whether even harmonics will do as well, as transformers and rectifiers make them, ...
    even: bool,
}

/// ... if so many of them pass, and so many times an even one and the next even one. Of 106 recordings without hum none had one such time, of
/// 14 mixtures with even harmonics of 100 Hz 13 pass (with 5 and 3 the same 13, a few seconds later).
const EVEN_PASS: usize = 4;
const EVEN_PAIRS: usize = 2;
/// Where more than so many seem to be there, it is a buzz, which is followed to higher harmonics than hum is.
const EVEN_MOST: usize = 14;
/// If next to nothing else is heard, it could be a note, whose pitch is twice that of the mains, that is held for less than 12 s.
const EVEN_TIMES_ALONE: usize = 10;

impl Proof {
    /// For hum: its frequency is that of the mains.
    pub(super) const MAINS: Self = Self {
        pass: 5,
        pairs: 2,
        times: 1,
        times_alone: 1,
        even: true,
    };
    /// For a buzz at twice the frequency of the mains, or at that.
    pub(super) const RECTIFIED: Self = Self {
        pass: 8,
        pairs: 4,
        times: 2,
        times_alone: 2,
        even: false,
    };
    /// For a buzz of any frequency.
    pub(super) const ANY: Self = Self {
        times_alone: 10,
        ..Self::RECTIFIED
    };
}

/// What became of the hum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Goes,
    /// It is no hum after all, or it is gone.
    Gone,
}

/// The harmonics.
#[derive(Clone)]
pub(super) struct Lines {
    nominal_hz: f64,
    hop_seconds: f64,
    /// Change of the fundamental from hop to hop, in Hz.
    drift_hz: f64,
    pub(super) comb: Comb,
    measured: Vec<Complex32>,
    amplitude: Vec<Complex32>,
    deviation: Vec<f32>,
    weight: Vec<f32>,
    /// Amplitudes that it was told of, if it was.
    told: Vec<f32>,
    is_told: bool,
    ratios: Vec<f32>,
    hops: usize,
    /// Hops since the comb started.
    heard: usize,
    /// Means over the halves of the proof under way, hops in it, whether one has been passed, and how many have failed since.
    halves: [Vec<Complex32>; 2],
    watched: usize,
    /// Sum over the hops of all proofs of the power of all that was heard.
    power: f32,
    proof: Proof,
    passed: usize,
    proven: bool,
    failed: usize,
}

impl Lines {
    /// Allocates everything it will ever need.
    pub(super) fn new(rate_hz: u32, hop: usize) -> Self {
        Self {
            nominal_hz: 0.0,
            drift_hz: 0.0,
            hop_seconds: hop as f64 / f64::from(rate_hz),
            comb: Comb::new(rate_hz, MOST),
            measured: vec![Complex32::default(); MOST],
            amplitude: vec![Complex32::default(); MOST],
            deviation: vec![0.0; MOST],
            weight: vec![0.0; MOST],
            told: vec![0.0; MOST],
            is_told: false,
            ratios: vec![0.0; MOST],
            hops: 0,
            heard: 0,
            halves: std::array::from_fn(|_| vec![Complex32::default(); MOST]),
            watched: 0,
            power: 0.0,
            proof: Proof::MAINS,
            passed: 0,
            proven: false,
            failed: 0,
        }
    }

    /// Starts at `hz`, near `nominal_hz`, with `count` harmonics, of which `proof` is wanted.
    pub(super) fn start(&mut self, nominal_hz: f64, hz: f64, count: usize, proof: Proof) {
        self.nominal_hz = nominal_hz;
        self.drift_hz = 0.0;
        self.comb.start(hz, count);
        self.amplitude.fill(Complex32::default());
        self.deviation.fill(0.0);
        self.weight.fill(0.0);
        self.hops = 0;
        self.heard = 0;
        self.begin_proof();
        self.power = 0.0;
        self.proof = proof;
        self.passed = 0;
        self.proven = false;
        self.failed = 0;
        self.is_told = false;
    }

    /// Starts with a comb that is no find and needs no proof.
    pub(super) fn follow(&mut self, tones: &Tones) {
        self.start(tones.hz, tones.hz, tones.count, Proof::MAINS);
        self.is_told = true;
        self.told.copy_from_slice(&tones.amplitude);
    }

    /// Whether it has been watched for long enough.
    pub(super) const fn is_proven(&self) -> bool {
        self.proven
    }

    /// How far a harmonic is believed, 0 to 1.
    pub(super) fn weight(&self, h: usize) -> f32 {
        self.weight[h]
    }

    /// Share of the power of a harmonic that may be left of it when its amplitude is taken away, as far as that is known.
    pub(super) fn uncertainty(&self, h: usize) -> f32 {
        if !self.is_told {
            return 0.0;
        }
        let ratio = self.deviation[h] / self.amplitude[h].norm().max(1e-20);
        (TOLD_LEFT * ratio * ratio).min(1.0)
    }

    /// Amplitude of a harmonic, in full scale.
    pub(super) fn amplitude(&self, h: usize) -> Complex32 {
        self.amplitude[h]
    }

    /// Ends a hop in which sound of this power was heard; what became of the comb, and by how much the fundamental was turned ahead.
    pub(super) fn end_hop(&mut self, hop: usize, power: f32) -> (Fate, f64) {
        self.comb.end_hop(hop, &mut self.measured);
        self.heard += 1;
        if self.heard < 2 {
            return (Fate::Goes, 0.0);
        }
        self.hops += 1;
        let count = self.comb.count();
        if self.is_told && self.hops > 1 && self.has_come_back() {
            self.hops = 1;
            self.proven = false;
        }
        if self.hops == 1 {
            self.amplitude[..count].copy_from_slice(&self.measured[..count]);
            for (deviation, a) in self.deviation.iter_mut().zip(&self.amplitude).take(count) {
                *deviation = 0.5 * a.norm();
            }
            if self.is_told {
                self.compare_with_told();
            }
            self.weigh();
            return (Fate::Goes, 0.0);
        }
        let angle = self.follow_phase();
        let gone = self.proven && self.follow_level() < GONE;
        self.average();
        if self.is_told {
            if gone {
                self.wait_for_told();
                return (Fate::Goes, angle);
            }
            self.hold_to_told();
            self.weigh();
            self.proven |= self.hops >= TOLD_HOPS;
            return (Fate::Goes, angle);
        }
        self.weigh();
        (if gone { Fate::Gone } else { self.prove(power) }, angle)
    }

    /// Turns the comb to where the harmonics say it is.
    fn follow_phase(&mut self) -> f64 {
        // Harmonics whose phase may have gone round since the start say nothing yet.
        let count = self.comb.count().min(4 + 2 * self.hops);
        let (mut sum, mut weights, mut highest) = (0.0, 0.0, 1.0);
        for h in 0..count {
            if self.is_told && self.told[h] > 0.0 {
                highest = (h + 1) as f64;
            }
            let (z, a, s) = (self.measured[h], self.amplitude[h], self.deviation[h]);
            let error = (z - a).norm();
            let trust = (s / error.max(1e-20)).min(1.0) * self.weight[h];
            let clear = (a.norm_sqr() / (s * s + error * error).max(1e-20) * trust).min(100.0);
            let order = (h + 1) as f64;
            let turned = z * a.conj();
            let angle = f64::from(libm::atan2f(turned.im, turned.re));
            sum += f64::from(clear) * order * angle;
            weights += f64::from(clear) * order * order;
        }
        let mut angle = sum / weights.max(1e-9);
        if self.is_told {
            // Few lines: a note on top of them must not turn them.
            angle *= weights / (weights + TOLD_CLEAR * highest * highest);
        }
        let error_hz = angle / (std::f64::consts::TAU * self.hop_seconds);
        let most_hz = MOST_DRIFT * self.nominal_hz;
        self.drift_hz = (self.drift_hz + DRIFT_GAIN * error_hz).clamp(-most_hz, most_hz);
        let hz = self.comb.hz() + FREQUENCY_GAIN * error_hz + self.drift_hz;
        let reach = 1.25 * TOLERANCE * self.nominal_hz;
        let hz = hz.clamp(self.nominal_hz - reach, self.nominal_hz + reach);
        let angle = PHASE_GAIN * angle;
        self.comb.steer(hz, angle);
        turn_back(&mut self.measured, angle);
        angle
    }

    /// A volume control changes all harmonics at once, and sooner than averages follow. By how much it did.
    fn follow_level(&mut self) -> f32 {
        let mut said = 0;
        for h in 0..self.comb.count() {
            let power = self.amplitude[h].norm_sqr();
            if self.weight[h] > 0.5 && power > 0.0 {
                self.ratios[said] = (self.measured[h] * self.amplitude[h].conj()).re / power;
                said += 1;
            }
        }
        if said < LEVEL_LINES {
            return 1.0;
        }
        let ratios = &mut self.ratios[..said];
        let level = quantile(ratios, 0.5);
        for r in ratios.iter_mut() {
            *r = (*r - level).abs();
        }
        let uncertainty = 1.5 * quantile(ratios, 0.5) / libm::sqrtf(said as f32);
        let change = (level - 1.0).abs();
        let sure = uncertainty < LEVEL_UNCERTAINTY;
        if !sure || change < LEVEL_CHANGE.max(LEVEL_SURE * uncertainty) {
            return 1.0;
        }
        let level = level.max(0.0);
        for (a, s) in self.amplitude.iter_mut().zip(&mut self.deviation) {
            *a *= level;
            *s *= level;
        }
        if self.is_told && level > GONE {
            for told in &mut self.told {
                *told *= level;
            }
        }
        level
    }

    /// Averages, with little regard for what is far from the average: notes.
    fn average(&mut self) {
        let share = (1.0 / self.hops as f32).max(1.0 / MEMORY as f32);
        for h in 0..self.comb.count() {
            let error = self.measured[h] - self.amplitude[h];
            let size = error.norm();
            let s = &mut self.deviation[h];
            self.amplitude[h] += error * (share * (CLIP * *s / size.max(1e-20)).min(1.0));
            if self.hops > 3 {
                if size > *s {
                    *s *= DEVIATION_STEP;
                } else {
                    *s /= DEVIATION_STEP;
                }
            }
        }
    }

    /// Whether a comb that was told and of which next to nothing was there sounds as loud as it was told.
    fn has_come_back(&self) -> bool {
        let (mut held, mut expected, mut loud, mut lines) = (0.0, 0.0, 0, 0);
        let heard = self.amplitude.iter().zip(&self.measured);
        for ((a, z), told) in heard.zip(&self.told) {
            held += a.norm_sqr();
            expected += told * told;
            let size = z.norm();
            loud += usize::from(size > TOLD_BACK * told && size < told / TOLD_BACK);
            lines += usize::from(*told > 0.0);
        }
        held < TOLD_AWAY * expected && 3 * loud >= 2 * lines
    }

    /// It is gone, but may come back: as at the start.
    fn wait_for_told(&mut self) {
        self.hops = 0;
        self.proven = false;
        self.amplitude.fill(Complex32::default());
        self.weight.fill(0.0);
    }

    /// What was measured first may be a note; whatever is louder than it was told is uncertain by that.
    fn compare_with_told(&mut self) {
        for h in 0..self.comb.count() {
            let (a, told) = (&mut self.amplitude[h], self.told[h]);
            let size = a.norm();
            self.deviation[h] = TOLD_UNCERTAIN * told + (size - told).max(0.0);
            if told == 0.0 {
                *a = Complex32::default();
            }
        }
        self.hold_to_told();
    }

    /// Nor is it ever so certain that it could not change any more.
    fn hold_to_told(&mut self) {
        let lines = self.amplitude.iter_mut().zip(&mut self.deviation);
        for ((a, s), told) in lines.zip(&self.told) {
            *s = s.max(TOLD_CERTAIN * told);
            let most = TOLD_LOUDER * told;
            let size = a.norm();
            if size > most {
                *a *= most / size;
            }
        }
    }

    fn weigh(&mut self) {
        let (nothing, full) = if self.is_told {
            (TOLD_NOTHING, TOLD_FULL)
        } else {
            (NOTHING, FULL)
        };
        for h in 0..self.comb.count() {
            let clear = self.amplitude[h].norm() / self.deviation[h].max(1e-20);
            self.weight[h] = ((clear - nothing) / (full - nothing)).clamp(0.0, 1.0);
        }
    }

    fn begin_proof(&mut self) {
        self.watched = 0;
        for half in &mut self.halves {
            half.fill(Complex32::default());
        }
    }

    /// Goes on with the proof, and judges when it is complete.
    fn prove(&mut self, power: f32) -> Fate {
        if self.hops <= SETTLING {
            return Fate::Goes;
        }
        let half = &mut self.halves[self.watched / HALF_PROOF];
        for (sum, z) in half.iter_mut().zip(&self.measured) {
            *sum += z / HALF_PROOF as f32;
        }
        self.power += power;
        self.watched += 1;
        if self.watched < 2 * HALF_PROOF {
            return Fate::Goes;
        }
        let [first, second] = &self.halves;
        let (mut passed, mut early, mut seeming) = (0, 0, 0);
        let (mut pairs, mut even, mut even_pairs, mut even_seeming) = (0, 0, 0, 0);
        let mut comb_power = 0.0;
        let mut passed_before = [false; 2];
        for h in 0..self.comb.count() {
            let there = self.weight[h] > 0.5;
            let passes = there && (second[h] - first[h]).norm() < SAME * first[h].norm();
            passed += usize::from(passes);
            comb_power += if passes {
                0.5 * second[h].norm_sqr()
            } else {
                0.0
            };
            early += usize::from(passes && h < AMONG);
            seeming += usize::from(there && h < AMONG);
            let [last, last_but_one] = passed_before;
            pairs += usize::from(passes && last && h < AMONG);
            let is_even = h % 2 == 1;
            even_seeming += usize::from(there && is_even);
            even += usize::from(passes && is_even && h < AMONG);
            even_pairs += usize::from(passes && last_but_one && is_even && h < AMONG);
            passed_before = [passes, last];
        }
        let proof = self.proof;
        let heard = self.power / (self.hops - SETTLING) as f32;
        let all_pass = early >= proof.pass && pairs >= proof.pairs;
        let even_pass = proof.even
            && even >= EVEN_PASS
            && even_pairs >= EVEN_PAIRS
            && even_seeming <= EVEN_MOST;
        let alone = comb_power > ALONE * heard;
        let times = match (alone, all_pass) {
            (false, _) => proof.times,
            (true, true) => proof.times_alone,
            (true, false) => EVEN_TIMES_ALONE,
        };
        self.begin_proof();
        let share = early as f32 >= PASS_SHARE * seeming as f32;
        let passes = (all_pass || even_pass) && share;
        if passes {
            self.passed += 1;
            self.proven |= self.passed >= times;
        }
        if passes || (self.proven && passed >= LEAST) {
            self.failed = 0;
        } else {
            self.failed += 1;
        }
        let patience = if self.proven { PATIENCE } else { PROOFS };
        if self.failed < patience {
            Fate::Goes
        } else {
            Fate::Gone
        }
    }

    /// Runs forwards from now on after everything was heard backwards.
    pub(super) fn turn_round(&mut self) {
        self.comb.turn_round();
        self.drift_hz = -self.drift_hz;
        self.heard = 0;
        self.begin_proof();
        for a in &mut self.amplitude {
            *a = a.conj();
        }
    }
}
