//! The dense linear algebra of training, by faer, for the two number types it needs.
//!
//! A crate of its own because faer is generic: whoever names its functions compiles them, which takes minutes. Here
//! they are compiled once, not with every change of the engine. All of it runs on the calling thread alone, so
//! results depend on neither the number of threads nor their timing.

use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_matmul};
use faer::{Accum, MatMut, MatRef, Par, Spec};

/// The lower triangle of `rows' rows` (n x n, column after column; the rest of `gram` is left as it is), for `rows` of
/// n values one after another.
///
/// # Panics
/// If `rows` is not a whole number of rows or `gram` has other than n x n values.
pub fn gram_lower(rows: &[f32], n: usize, gram: &mut [f32]) {
    let rows = MatRef::from_row_major_slice(rows, rows.len() / n, n);
    triangular_matmul(
        MatMut::from_column_major_slice_mut(gram, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        rows.transpose(),
        BlockStructure::Rectangular,
        rows,
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
}

/// `rows' targets`, n x d, row after row, for rows of n values and targets of d values.
///
/// # Panics
/// If the numbers of rows differ or `cross` has other than n x d values.
pub fn cross_product(rows: &[f32], n: usize, targets: &[f32], d: usize, cross: &mut [f32]) {
    let count = rows.len() / n;
    matmul(
        MatMut::from_row_major_slice_mut(cross, n, d),
        Accum::Replace,
        MatRef::from_row_major_slice(rows, count, n).transpose(),
        MatRef::from_row_major_slice(targets, count, d),
        1.0,
        Par::Seq,
    );
}

/// A matrix of `f32` inside a slice: `rows` rows of `stride` values, of which `columns` from `first` on belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// All values, row after row.
    pub values: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Values from one row to the next.
    pub stride: usize,
    /// First column.
    pub first: usize,
    /// Number of columns.
    pub columns: usize,
    /// Read with rows and columns exchanged.
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A whole slice with rows of `columns` values.
    #[must_use]
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self {
            values,
            rows: values.len() / columns.max(1),
            stride: columns,
            first: 0,
            columns,
            transposed: false,
        }
    }

    /// Some of its columns (of the matrix as it is stored).
    #[must_use]
    pub fn columns(self, first: usize, columns: usize) -> Self {
        Self {
            first: self.first + first,
            columns,
            ..self
        }
    }

    /// With rows and columns exchanged.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    fn view(&self) -> MatRef<'a, f32> {
        let all = MatRef::from_row_major_slice(self.values, self.rows, self.stride);
        let part = all.subcols(self.first, self.columns);
        if self.transposed {
            part.transpose()
        } else {
            part
        }
    }
}

/// `out = a b`, or `out += a b` with `add`; `out` is row-major and has as many rows as `a` and columns as `b`.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply(a: Matrix<'_>, b: Matrix<'_>, add: bool, out: &mut [f32]) {
    let stride = b.view().ncols();
    multiply_strided(a, b, add, out, stride);
}

/// As [`multiply`], into the first columns of an `out` with rows of `stride` values.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply_strided(a: Matrix<'_>, b: Matrix<'_>, add: bool, out: &mut [f32], stride: usize) {
    let (a, b) = (a.view(), b.view());
    matmul(
        MatMut::from_row_major_slice_mut(out, a.nrows(), stride).subcols_mut(0, b.ncols()),
        if add { Accum::Add } else { Accum::Replace },
        a,
        b,
        1.0,
        Par::Seq,
    );
}

/// Eigenvalues in ascending order, and eigenvectors one after another, of a symmetric n x n matrix, of which the lower
/// triangle (column after column) is read. `None` if the iteration does not converge or a number is not finite.
///
/// # Panics
/// If `matrix` has other than n x n values.
#[must_use]
pub fn eigen(matrix: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    if !matrix.iter().all(|v| v.is_finite()) {
        return None;
    }
    let params = Spec::default();
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, params);
    let (mut values, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
    self_adjoint_evd(
        MatRef::from_column_major_slice(matrix, n, n),
        DiagMut::from_slice_mut(&mut values),
        Some(MatMut::from_column_major_slice_mut(&mut vectors, n, n)),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        params,
    )
    .ok()?;
    Some((values, vectors))
}

/// The lower triangle of `T T'` (n x n, column after column; the rest of `outer` is left as it is) for a matrix T given
/// as columns of n values.
///
/// # Panics
/// If `columns` is not a whole number of columns or `outer` has other than n x n values.
pub fn outer_lower(columns: &[f64], n: usize, outer: &mut [f64]) {
    let t = MatRef::from_column_major_slice(columns, n, columns.len() / n);
    triangular_matmul(
        MatMut::from_column_major_slice_mut(outer, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        t,
        BlockStructure::Rectangular,
        t.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
}

/// Cholesky factorisation in place of a symmetric n x n matrix, of which the lower triangle is read; false if it is not
/// positive definite, the matrix is then spoilt.
///
/// # Panics
/// If `matrix` has other than n x n values.
pub fn cholesky(matrix: &mut [f64], n: usize) -> bool {
    let params = Spec::default();
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, params);
    llt::factor::cholesky_in_place(
        MatMut::from_column_major_slice_mut(matrix, n, n),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        params,
    )
    .is_ok()
}

/// Solves `L L' x = b` in place for right-hand sides of n values one after another, with the result of [`cholesky`].
///
/// # Panics
/// If `factor` has other than n x n values or `rhs` is not a whole number of columns.
pub fn cholesky_solve(factor: &[f64], rhs: &mut [f64], n: usize) {
    let columns = rhs.len() / n;
    let scratch = llt::solve::solve_in_place_scratch::<f64>(n, columns, Par::Seq);
    llt::solve::solve_in_place(
        MatRef::from_column_major_slice(factor, n, n),
        MatMut::from_column_major_slice_mut(rhs, n, columns),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0];

    #[test]
    fn products_are_the_sums_they_stand_for() {
        let mut gram = [0.0; 4];
        gram_lower(&ROWS, 2, &mut gram);
        assert_eq!([gram[0], gram[1], gram[3]], [35.0, 49.0, 69.0]);
        let mut cross = [0.0; 2];
        cross_product(&ROWS, 2, &[1.0, 0.0, 2.0], 1, &mut cross);
        assert_eq!(cross, [11.0, 16.0]);
        let mut outer = [0.0; 4];
        outer_lower(&[1.0, 2.0, 3.0, 4.0], 2, &mut outer);
        assert_eq!([outer[0], outer[1], outer[3]], [10.0, 14.0, 20.0]);
    }

    #[test]
    fn views_multiply_as_written() {
        let a = Matrix::new(&ROWS, 3);
        let b = Matrix::new(&ROWS, 2);
        let mut out = [0.0; 4];
        multiply(a, b, false, &mut out);
        assert_eq!(out, [22.0, 31.0, 54.0, 77.0]);
        multiply(a, b, true, &mut out);
        assert_eq!(out, [44.0, 62.0, 108.0, 154.0]);
        let mut one = [0.0; 1];
        multiply(a.columns(1, 1).t(), a.columns(2, 1), false, &mut one);
        assert_eq!(one, [2.0 * 3.0 + 5.0 * 7.0]);
    }

    #[test]
    fn eigenvectors_are_what_they_should_be() {
        let m = [2.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 5.0];
        let (values, vectors) = eigen(&m, 3).unwrap();
        for (v, want) in values.iter().zip([1.0, 3.0, 5.0]) {
            assert!((v - want).abs() < 1e-12);
        }
        assert!((vectors[0] + vectors[1]).abs() < 1e-12);
        assert!(eigen(&[f64::NAN], 1).is_none());
    }

    #[test]
    fn cholesky_solves_and_refuses_the_indefinite() {
        let mut matrix = [4.0, 2.0, 0.0, 3.0];
        assert!(cholesky(&mut matrix, 2));
        let mut rhs = [8.0, 8.0];
        cholesky_solve(&matrix, &mut rhs, 2);
        assert!((rhs[0] - 1.0).abs() < 1e-12 && (rhs[1] - 2.0).abs() < 1e-12);
        assert!(!cholesky(&mut [1.0, 5.0, 5.0, 1.0], 2));
    }
}
