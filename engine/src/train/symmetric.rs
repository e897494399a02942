//! Symmetric matrices kept as a triangle, and the solution of positive definite equations.
//!
//! The lower triangle is stored column after column: column i has the n - i entries from the diagonal down.

use drfm_linalg::{cholesky, cholesky_solve, outer_lower};

use super::error::TrainError;

/// Entries of the triangle of an n x n matrix.
pub(crate) fn triangle(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Index i and column i, from the diagonal down.
pub(crate) fn columns(packed: &[f64], n: usize) -> impl Iterator<Item = (usize, &[f64])> {
    let mut rest = packed;
    (0..n).map_while(move |i| {
        let (column, after) = rest.split_at_checked(n - i)?;
        rest = after;
        Some((i, column))
    })
}

/// Column i from the diagonal down; empty if the triangle is.
pub(crate) fn column(packed: &[f64], n: usize, i: usize) -> &[f64] {
    let start = triangle(n) - triangle(n - i);
    packed.get(start..start + n - i).unwrap_or_default()
}

/// As [`columns`], to be changed.
pub(crate) fn columns_mut(
    packed: &mut [f64],
    n: usize,
) -> impl Iterator<Item = (usize, &mut [f64])> {
    let mut rest = packed;
    (0..n).map_while(move |i| {
        let (column, after) = std::mem::take(&mut rest).split_at_mut_checked(n - i)?;
        rest = after;
        Some((i, column))
    })
}

/// The sum of the diagonal.
pub(crate) fn trace(packed: &[f64], n: usize) -> f64 {
    columns(packed, n).filter_map(|(_, c)| c.first()).sum()
}

/// `T T'` of a matrix T given as columns of n values: n x n, only the lower triangle filled.
pub(crate) fn outer_product(columns: &[f64], n: usize) -> Vec<f64> {
    let count = columns.len() / n;
    let mut outer = vec![0.0; n * n];
    outer_lower(&columns[..count * n], n, &mut outer);
    outer
}

/// `g' (A .* P) g` for a triangle A and the n x n matrix P, of which the lower triangle is read.
pub(crate) fn quadratic_form(a: &[f64], p: &[f64], g: &[f64]) -> f64 {
    let n = g.len();
    let mut sum = 0.0;
    for ((i, a), p) in columns(a, n).zip(p.chunks_exact(n)) {
        let mut terms = a.iter().zip(&p[i..]).zip(&g[i..]);
        let diagonal = terms.next().map_or(0.0, |((a, p), g)| a * p * g);
        let below: f64 = terms.map(|((a, p), g)| a * p * g).sum();
        sum += g[i] * (2.0 * below + diagonal);
    }
    sum
}

/// Solves `A x = b` for symmetric positive semidefinite A.
///
/// `matrix` is n x n, column after column; only its lower triangle is read, and it is overwritten. `rhs` holds
/// right-hand sides of n values one after another and receives the solutions. The matrix is scaled to a unit diagonal
/// first, which makes rounding independent of the scale of each unknown; unknowns with a zero diagonal become 0.
/// If rounding has made it indefinite, its diagonal is raised until it factorises.
pub(crate) fn solve_positive(
    matrix: &mut [f64],
    rhs: &mut [f64],
    n: usize,
    what: &'static str,
) -> Result<(), TrainError> {
    let scale: Vec<f64> = (0..n)
        .map(|i| matrix[i * n + i])
        .map(|d| if d > 0.0 { 1.0 / d.sqrt() } else { 0.0 })
        .collect();
    if !scale.iter().all(|s| s.is_finite()) {
        return Err(TrainError::Unsolvable(what));
    }
    for (i, column) in matrix.chunks_exact_mut(n).enumerate() {
        for (a, s) in column.iter_mut().zip(&scale).skip(i) {
            *a *= s * scale[i];
        }
    }
    for column in rhs.chunks_exact_mut(n) {
        for (b, s) in column.iter_mut().zip(&scale) {
            *b *= s;
        }
    }
    // A copy is needed only if the first factorisation fails, but then it is too late to make one.
    let original = matrix.to_vec();
    let mut lift = 1e-13;
    loop {
        for i in 0..n {
            matrix[i * n + i] = 1.0 + lift;
        }
        if cholesky(matrix, n) {
            break;
        }
        lift *= 100.0;
        if lift > 1e3 {
            return Err(TrainError::Unsolvable(what));
        }
        matrix.copy_from_slice(&original);
    }
    let columns = rhs.len() / n;
    cholesky_solve(matrix, &mut rhs[..columns * n], n);
    for column in rhs.chunks_exact_mut(n) {
        for (x, s) in column.iter_mut().zip(&scale) {
            *x *= s;
        }
    }
    if rhs.iter().all(|x| x.is_finite()) {
        Ok(())
    } else {
        Err(TrainError::Unsolvable(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::StableRng;

    /// A random Gram matrix of the given rank, full and as a triangle.
    fn gram(n: usize, rank: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = StableRng::new(4, 4);
        let rows: Vec<Vec<f64>> = (0..rank)
            .map(|_| (0..n).map(|_| rng.normal()).collect())
            .collect();
        let entry = |i: usize, j: usize| rows.iter().map(|r| r[i] * r[j]).sum::<f64>();
        let full = (0..n * n).map(|at| entry(at / n, at % n)).collect();
        let packed = (0..n)
            .flat_map(|i| (i..n).map(move |j| (i, j)))
            .map(|(i, j)| entry(i, j))
            .collect();
        (full, packed)
    }

    #[test]
    fn solutions_solve() {
        let n = 40;
        let (full, _) = gram(n, 60);
        let mut rng = StableRng::new(1, 1);
        let b: Vec<f64> = (0..3 * n).map(|_| rng.normal()).collect();
        let mut x = b.clone();
        solve_positive(&mut full.clone(), &mut x, n, "a test").unwrap();
        for c in 0..3 {
            for i in 0..n {
                let ax: f64 = (0..n).map(|j| full[i * n + j] * x[c * n + j]).sum();
                assert!((ax - b[c * n + i]).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn degenerate_matrices_are_survived() {
        let n = 30;
        let (mut full, _) = gram(n, 5);
        for j in 0..n {
            full[7 * n + j] = 0.0;
            full[j * n + 7] = 0.0;
        }
        // A right-hand side in the range of the matrix.
        let mut x: Vec<f64> = (0..n)
            .map(|i| (0..n).map(|j| full[i * n + j]).sum())
            .collect();
        let b = x.clone();
        solve_positive(&mut full.clone(), &mut x, n, "a test").unwrap();
        assert_eq!(x[7], 0.0);
        for i in 0..n {
            let ax: f64 = (0..n).map(|j| full[i * n + j] * x[j]).sum();
            assert!((ax - b[i]).abs() < 1e-3);
        }
        let mut x = vec![1.0; 4];
        solve_positive(&mut [0.0; 16], &mut x, 4, "a test").unwrap();
        assert_eq!(x, [0.0; 4]);
        let mut indefinite = [1.0, 5.0, 5.0, 1.0];
        solve_positive(&mut indefinite, &mut [1.0, 1.0], 2, "a test").unwrap();
        assert!(solve_positive(&mut [f64::NAN; 4], &mut [1.0; 2], 2, "a test").is_err());
        assert!(solve_positive(&mut [f64::INFINITY; 4], &mut [1.0; 2], 2, "a test").is_err());
    }

    #[test]
    fn triangles_are_read_as_the_whole_matrix() {
        let n = 12;
        let (a, packed_a) = gram(n, 20);
        let t: Vec<f64> = (0..3 * n).map(|i| (i as f64).sin()).collect();
        let p = |i: usize, j: usize| (0..3).map(|c| t[c * n + i] * t[c * n + j]).sum::<f64>();
        let g: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
        let mut want = 0.0;
        for i in 0..n {
            for j in 0..n {
                want += g[i] * g[j] * a[i * n + j] * p(i, j);
            }
        }
        let got = quadratic_form(&packed_a, &outer_product(&t, n), &g);
        assert!((got / want - 1.0).abs() < 1e-12);
        let want: f64 = (0..n).map(|i| a[i * n + i]).sum();
        assert!((trace(&packed_a, n) / want - 1.0).abs() < 1e-12);
        assert_eq!(columns(&packed_a, n).count(), n);
        for (i, c) in columns(&packed_a, n) {
            assert_eq!(c, column(&packed_a, n, i));
        }
        let mut copy = packed_a.clone();
        assert_eq!(
            columns_mut(&mut copy, n)
                .map(|(_, c)| c.len())
                .sum::<usize>(),
            triangle(n)
        );
    }
}
