//! Numbers too small to matter are taken for zero while a block is processed: on most processors they are ten times
//! slower than others. Nothing else in the host may notice, so the processor's mode is put back afterwards.

/// Flushes denormal numbers on this thread until it is dropped.
pub struct FlushDenormals {
    before: Register,
}

#[cfg(target_arch = "x86_64")]
type Register = u32;
#[cfg(target_arch = "aarch64")]
type Register = u64;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Register = ();

/// Results to zero (bit 15) and operands to zero (bit 6).
#[cfg(target_arch = "x86_64")]
const FLUSH: Register = 0x8040;
/// Results and operands to zero (FZ, bit 24).
#[cfg(target_arch = "aarch64")]
const FLUSH: Register = 1 << 24;

impl FlushDenormals {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        let before = read();
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        write(before | FLUSH);
        Self { before }
    }
}

impl Default for FlushDenormals {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        write(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn read() -> Register {
    let mut value: Register = 0;
    // SAFETY: SSE is part of x86-64; the instruction writes 4 bytes to `value` and nothing else.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags));
    }
    value
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn write(value: Register) {
    // SAFETY: the value is one that was read before, at most with the two flush bits set, so no reserved bit is and no
    // exception is unmasked.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags));
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
fn read() -> Register {
    let value: Register;
    // SAFETY: reading FPCR has no effect and is allowed in user mode.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
fn write(value: Register) {
    // SAFETY: the value is one that was read before, at most with FZ set.
    unsafe {
        std::arch::asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn read() -> Register {}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn write(_value: Register) {}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn tiny_numbers_vanish_while_it_lives() {
        let half = |x: f32| black_box(black_box(x) * black_box(0.5));
        let tiny = f32::MIN_POSITIVE;
        assert!(half(tiny) > 0.0);
        {
            let _guard = FlushDenormals::new();
            assert_eq!(half(tiny), 0.0, "a result");
            assert_eq!(
                black_box(black_box(f32::from_bits(1)) * black_box(1e30)),
                0.0,
                "an operand"
            );
        }
        assert!(half(tiny) > 0.0, "put back");
    }
}
