/* What the extension's functions ask of the buffers they are given. */

#ifndef LTFIX_BUFFERS_H
#define LTFIX_BUFFERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* 'f', 'd', or 'q' for any 8-byte signed integer, in native byte order; 0 for all else. */
static char
kind_of(const Py_buffer *view)
{
    const int one = 1;
    const char native = *(const char *)&one ? '<' : '>';
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=' || *format == native) {
        format++;
    }
    if (*format == '\0' || format[1] != '\0') {
        return 0;
    }
    switch (*format) {
    case 'f': return view->itemsize == (Py_ssize_t)sizeof(float) ? 'f' : 0;
    case 'd': return view->itemsize == (Py_ssize_t)sizeof(double) ? 'd' : 0;
    case 'l':
    case 'q': return view->itemsize == (Py_ssize_t)sizeof(int64_t) ? 'q' : 0;
    default: return 0;
    }
}

/* Fill view from object, or raise naming the argument; release it in both cases. */
static int
acquire(PyObject *object, Py_buffer *view, const char *name, int ndim)
{
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0) {
        view->obj = NULL;
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s must support the buffer protocol", name);
    } else if (view->ndim != ndim) {
        PyErr_Format(PyExc_ValueError, "%s must have %d dimension(s), not %d", name, ndim, view->ndim);
    } else if (!PyBuffer_IsContiguous(view, 'C')) {
        PyErr_Format(PyExc_ValueError, "%s must be C-contiguous", name);
    } else {
        return 0;
    }
    return -1;
}

static int
overlap(const Py_buffer *a, const Py_buffer *b)
{
    const uintptr_t first = (uintptr_t)a->buf, second = (uintptr_t)b->buf;
    return first < second + (uintptr_t)b->len && second < first + (uintptr_t)a->len;
}

#endif
