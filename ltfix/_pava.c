/* Isotonic regression by pooling adjacent violators: pava(y, out, starts, weight=None) -> nblocks.

   The contract is the docstring of the twin in _pava_py.py, which raises the same errors in the
   same order; the arithmetic is in _pool.h, once per element type. */

#include "_look.h"
#include "_samn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL float
#define OF(name) name##_float
#include "_pool.h"
#undef REAL
#undef OF
#define REAL double
#define OF(name) name##_double
#include "_pool.h"

#define GIL_RELEASE_ABOVE 4096 /* below, the release costs more than it frees */

enum { Y, OUT, STARTS, WEIGHT, N_BUFFERS };
static const char *const NAMES[] = {"y", "out", "starts", "weight"};

/* The checks between the buffers; the twin raises the same in the same order. */
static int
check(const Py_buffer *view, int n_views)
{
    const char kind = kind_of(&view[Y]);
    const Py_ssize_t n = view[Y].shape[0];
    if (kind != 'f' && kind != 'd') {
        PyErr_SetString(PyExc_TypeError, "y must hold float32 or float64 in native byte order");
        return -1;
    }
    for (int i = OUT; i < n_views; i++) {
        if (i == STARTS && kind_of(&view[i]) != 'q') {
            PyErr_SetString(PyExc_TypeError, "starts must hold 8-byte signed integers in native byte order");
        } else if (i == STARTS && view[i].shape[0] <= n) {
            PyErr_SetString(PyExc_ValueError, "starts must have room for one more element than y");
        } else if (i != STARTS && kind_of(&view[i]) != kind) {
            PyErr_Format(PyExc_TypeError, "%s must have the format of y", NAMES[i]);
        } else if (i != STARTS && view[i].shape[0] != n) {
            PyErr_Format(PyExc_ValueError, "%s must have the length of y", NAMES[i]);
        } else if (i != WEIGHT && view[i].readonly) {
            PyErr_Format(PyExc_ValueError, "%s must be writable", NAMES[i]);
        } else {
            for (int j = Y; j < i; j++) {
                const int same = i == OUT && view[i].buf == view[j].buf;
                const int harmless = same || (i == WEIGHT && j == Y);
                if (!harmless && overlap(&view[i], &view[j])) {
                    PyErr_Format(PyExc_ValueError, "%s must not overlap %s", NAMES[i], NAMES[j]);
                    return -1;
                }
            }
            continue;
        }
        return -1;
    }
    return 0;
}

/* Raise for the first bad element; reached only when a sum over all came out wrong. */
static PyObject *
refuse(const Py_buffer *view, int weighted)
{
    const int single = kind_of(&view[Y]) == 'f';
    for (Py_ssize_t i = 0; i < view[Y].shape[0]; i++) {
        const double y = single ? ((float *)view[Y].buf)[i] : ((double *)view[Y].buf)[i];
        if (!isfinite(y)) {
            return PyErr_Format(PyExc_ValueError, "y[%zd] is not finite", i);
        }
    }
    for (Py_ssize_t i = 0; weighted && i < view[Y].shape[0]; i++) {
        const double w = single ? ((float *)view[WEIGHT].buf)[i] : ((double *)view[WEIGHT].buf)[i];
        if (!(w > 0 && w <= DBL_MAX)) {
            return PyErr_Format(PyExc_ValueError, "weight[%zd] is not a positive finite number", i);
        }
    }
    PyErr_SetString(PyExc_ValueError, "y is too large: a sum overflows");
    return NULL;
}

static PyObject *
run(Py_buffer *view, int weighted)
{
    const Py_ssize_t n = view[Y].shape[0];
    const int single = kind_of(&view[Y]) == 'f';
    const size_t scratch_size = (size_t)n * sizeof(double) * (weighted ? 3 : single ? 1 : 0);
    double *scratch = scratch_size ? malloc(scratch_size) : NULL;
    if (scratch_size && scratch == NULL) {
        return PyErr_NoMemory();
    }
    const void *w = weighted ? view[WEIGHT].buf : NULL;
    PyThreadState *state = n > GIL_RELEASE_ABOVE ? PyEval_SaveThread() : NULL;
    const Py_ssize_t blocks = single ? pava_float(view[Y].buf, w, view[OUT].buf, view[STARTS].buf, n, scratch)
                                     : pava_double(view[Y].buf, w, view[OUT].buf, view[STARTS].buf, n, scratch);
    if (state) {
        PyEval_RestoreThread(state);
    }
    free(scratch);
    return blocks < 0 ? refuse(view, weighted) : PyLong_FromSsize_t(blocks);
}

static PyObject *
pava(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args < 3 || n_args > 4) {
        return PyErr_Format(PyExc_TypeError, "pava() takes 3 or 4 positional arguments but %zd were given", n_args);
    }
    const int weighted = n_args == 4 && args[WEIGHT] != Py_None;
    const int n_views = weighted ? 4 : 3;
    Py_buffer view[N_BUFFERS] = {{0}};
    PyObject *result = NULL;
    int failed = 0;
    for (int i = Y; i < n_views && !failed; i++) {
        failed = acquire(args[i], &view[i], NAMES[i], 1);
    }
    if (!failed && check(view, n_views) == 0) {
        result = run(view, weighted);
    }
    for (int i = Y; i < n_views; i++) {
        PyBuffer_Release(&view[i]); /* does nothing where none was acquired */
    }
    return result;
}

static PyObject *
samn_scales(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    return ltfix_samn(args, n_args, 1);
}

static PyObject *
samn_pullback(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    return ltfix_samn(args, n_args, 0);
}

#ifdef LTFIX_HAS_LOOK
static PyObject *
look(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args)
{
    return ltfix_look(args, n_args);
}
#endif

#define METHOD(name, signature, what) \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, #name signature "\n--\n\n" what}

static PyMethodDef methods[] = {
    METHOD(pava, "($module, y, out, starts, weight=None, /)",
           "Non-decreasing least-squares fit; returns the number of blocks. _pava_py.py has the contract."),
    METHOD(samn_scales, "($module, raw, perm, rho, slope, starts, paper, mul, /)",
           "SAMN's row scales of raw numbers. _samn_py.py has the contract."),
    METHOD(samn_pullback, "($module, upstream, perm, slope, starts, grad, /)",
           "The gradient of raw numbers from that of row scales. _samn_py.py has the contract."),
#ifdef LTFIX_HAS_LOOK
    METHOD(look, "($module, folder, names, out, /)",
           "Sizes and stamps of files of an open folder. _look_py.py has the contract."),
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if !defined(Py_LIMITED_API) && PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "ltfix._pava", .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__pava(void)
{
    return PyModuleDef_Init(&definition);
}
