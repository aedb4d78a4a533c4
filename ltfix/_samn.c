/* SAMN's chain from raw numbers to row scales and back, [R, K] at a time: samn_scales, samn_pullback.

   The contract and the formulas are the docstrings of the twins in _samn_py.py. All arithmetic is
   in double; members of a PAVA block share one p, so exp and log1p run once per block. */

#include "_samn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL double
#define OF(name) name##_double
#include "_pool.h"

#define EPS 1e-6
#define MAX_EXPONENT 30.0
#define GIL_RELEASE_ABOVE 2048

/* What a function asks of one argument: 'r' is float32 or float64, 's' the format of the first. */
typedef struct {
    const char *name;
    char kind;
    Py_ssize_t more_columns;
    int writable;
} Argument;

static const Argument FORWARD[] = {
    {"raw", 'r', 0, 0}, {"perm", 'q', 0, 0}, {"rho", 's', 0, 1}, {"slope", 'd', 0, 1}, {"starts", 'q', 1, 1},
};
static const Argument BACKWARD[] = {
    {"upstream", 'r', 0, 0}, {"perm", 'q', 0, 0}, {"slope", 'd', 0, 0}, {"starts", 'q', 1, 0}, {"grad", 's', 0, 1},
};
enum { N_VIEWS = 5 };

static double
get(const Py_buffer *view, Py_ssize_t i)
{
    return view->itemsize == 4 ? (double)((const float *)view->buf)[i] : ((const double *)view->buf)[i];
}

static void
put(const Py_buffer *view, Py_ssize_t i, double value)
{
    if (view->itemsize == 4) {
        ((float *)view->buf)[i] = (float)value;
    } else {
        ((double *)view->buf)[i] = value;
    }
}

static int
fits(const Py_buffer *view, const Argument *wanted, int i)
{
    const char kind = kind_of(&view[i]), first = kind_of(&view[0]);
    const char *name = wanted[i].name;
    const int real = kind == 'f' || kind == 'd';
    if (wanted[i].kind == 'r' ? !real : kind != (wanted[i].kind == 's' ? first : wanted[i].kind)) {
        PyErr_Format(PyExc_TypeError, "%s holds the wrong type", name);
    } else if (view[i].shape[0] != view[0].shape[0] ||
               view[i].shape[1] != view[0].shape[1] + wanted[i].more_columns) {
        PyErr_Format(PyExc_ValueError, "%s has the wrong shape", name);
    } else if (wanted[i].writable && view[i].readonly) {
        PyErr_Format(PyExc_ValueError, "%s must be writable", name);
    } else {
        for (int j = 0; j < i; j++) {
            if ((wanted[i].writable || wanted[j].writable) && overlap(&view[i], &view[j])) {
                PyErr_Format(PyExc_ValueError, "%s must not overlap %s", name, wanted[j].name);
                return 0;
            }
        }
        return 1;
    }
    return 0;
}

/* All of perm (argument 1) must point into its row: what follows trusts it. */
static int
in_range(const Py_buffer *perm)
{
    const Py_ssize_t columns = perm->shape[1], n = perm->shape[0] * columns;
    const int64_t *index = perm->buf;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (index[i] < 0 || index[i] >= columns) {
            PyErr_Format(PyExc_ValueError, "perm[%zd, %zd] is out of range", i / columns, i % columns);
            return 0;
        }
    }
    return 1;
}

static int
take(PyObject *const *args, Py_buffer *view, const Argument *wanted)
{
    for (int i = 0; i < N_VIEWS; i++) {
        if (acquire(args[i], &view[i], wanted[i].name, 2) < 0) {
            return 0;
        }
    }
    for (int i = 0; i < N_VIEWS; i++) {
        if (!fits(view, wanted, i)) {
            return 0;
        }
    }
    return in_range(&view[1]);
}

/* rho(p), and its derivative in *slope. */
static double
scale(double p, int paper, int mul, double *slope)
{
    const int linear = p > 20; /* softplus(p) is p there, by the usual convention */
    const double e = exp(linear ? -p : p);
    const double softplus = linear ? p : log1p(e), sigmoid = (linear ? 1 : e) / (1 + e);
    const double s = paper ? softplus : 1 / (softplus + 2 * EPS);
    const double ds = paper ? sigmoid : -s * s * sigmoid;
    if (mul) {
        *slope = s > EPS ? ds : 0;
        return s > EPS ? s : EPS;
    }
    const double rho = exp(s < MAX_EXPONENT ? s : MAX_EXPONENT);
    *slope = s < MAX_EXPONENT ? rho * ds : 0;
    return rho;
}

/* The rows before the first that has a value which is not finite; all if none has. */
static Py_ssize_t
scale_rows(const Py_buffer *view, int paper, int mul, double *pooled)
{
    const Py_ssize_t rows = view[0].shape[0], k = view[0].shape[1];
    for (Py_ssize_t r = 0; r < rows; r++) {
        const int64_t *perm = (const int64_t *)view[1].buf + r * k;
        double *slope = (double *)view[3].buf + r * k;
        int64_t *starts = (int64_t *)view[4].buf + r * (k + 1);
        for (Py_ssize_t i = 0; i < k; i++) {
            pooled[i] = get(&view[0], r * k + (Py_ssize_t)perm[i]);
        }
        const Py_ssize_t blocks = pava_double(pooled, NULL, pooled, starts, k, NULL);
        if (blocks < 0) {
            return r;
        }
        for (Py_ssize_t b = 0, i = 0; b < blocks; b++) {
            double derivative;
            const double rho = scale(pooled[i], paper, mul, &derivative);
            for (; i < starts[b + 1]; i++) {
                put(&view[2], r * k + (Py_ssize_t)perm[i], rho);
                slope[i] = derivative;
            }
        }
    }
    return rows;
}

/* The rows before the first whose starts are no block edges; all if none. */
static Py_ssize_t
pull_rows(const Py_buffer *view)
{
    const Py_ssize_t rows = view[0].shape[0], k = view[0].shape[1];
    for (Py_ssize_t r = 0; r < rows; r++) {
        const int64_t *perm = (const int64_t *)view[1].buf + r * k;
        const double *slope = (const double *)view[2].buf + r * k;
        const int64_t *starts = (const int64_t *)view[3].buf + r * (k + 1);
        for (Py_ssize_t b = 0, start = 0; start < k; b++) {
            const Py_ssize_t stop = (Py_ssize_t)starts[b + 1];
            if (starts[b] != start || stop <= start || stop > k) {
                return r;
            }
            double sum = 0;
            for (Py_ssize_t i = start; i < stop; i++) {
                sum += get(&view[0], r * k + (Py_ssize_t)perm[i]) * slope[i];
            }
            const double mean = sum / (double)(stop - start);
            for (; start < stop; start++) {
                put(&view[4], r * k + (Py_ssize_t)perm[start], mean);
            }
        }
    }
    return rows;
}

static PyObject *
scales(const Py_buffer *view, int paper, int mul)
{
    const Py_ssize_t rows = view[0].shape[0], k = view[0].shape[1];
    double *pooled = malloc((size_t)(k ? k : 1) * sizeof(double));
    if (pooled == NULL) {
        return PyErr_NoMemory();
    }
    PyThreadState *state = rows * k > GIL_RELEASE_ABOVE ? PyEval_SaveThread() : NULL;
    const Py_ssize_t done = scale_rows(view, paper, mul, pooled);
    if (state) {
        PyEval_RestoreThread(state);
    }
    free(pooled);
    for (Py_ssize_t i = done * k; i < rows * k; i++) {
        if (!isfinite(get(&view[0], i))) {
            return PyErr_Format(PyExc_ValueError, "raw[%zd, %zd] is not finite", i / k, i % k);
        }
    }
    if (done < rows) {
        return PyErr_Format(PyExc_ValueError, "raw[%zd] is too large: a sum overflows", done);
    }
    Py_RETURN_NONE;
}

static PyObject *
pullback(const Py_buffer *view)
{
    const Py_ssize_t rows = view[0].shape[0], size = rows * view[0].shape[1];
    PyThreadState *state = size > GIL_RELEASE_ABOVE ? PyEval_SaveThread() : NULL;
    const Py_ssize_t done = pull_rows(view);
    if (state) {
        PyEval_RestoreThread(state);
    }
    if (done < rows) {
        return PyErr_Format(PyExc_ValueError, "starts[%zd] are not the edges of blocks", done);
    }
    Py_RETURN_NONE;
}

PyObject *
ltfix_samn(PyObject *const *args, Py_ssize_t n_args, int forward)
{
    if (n_args != (forward ? N_VIEWS + 2 : N_VIEWS)) {
        return PyErr_Format(PyExc_TypeError, "%s() does not take %zd positional arguments",
                            forward ? "samn_scales" : "samn_pullback", n_args);
    }
    Py_buffer view[N_VIEWS] = {{0}};
    PyObject *result = NULL;
    const int paper = forward ? PyObject_IsTrue(args[5]) : 0, mul = forward ? PyObject_IsTrue(args[6]) : 0;
    if (paper >= 0 && mul >= 0 && take(args, view, forward ? FORWARD : BACKWARD)) {
        result = forward ? scales(view, paper, mul) : pullback(view);
    }
    for (int i = 0; i < N_VIEWS; i++) {
        PyBuffer_Release(&view[i]);
    }
    return result;
}
