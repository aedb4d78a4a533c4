/* Sizes and stamps of many files in one call, in which other threads have the interpreter.
   _look_py.py has the contract. Signals are answered between files: a disk far away may be slow. */

#include "_look.h"

#ifdef LTFIX_HAS_LOOK

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

#define SIGNALS_EVERY 64 /* files */

enum { NAMES_VIEW, OUT_VIEW, N_VIEWS };

/* In unsigned numbers, which wrap as the twin's mask has it. */
static uint64_t
nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Write what is found at one name; 0 where a signal broke it off. */
static int
look_at(int folder, const char *name, int64_t *row)
{
    struct stat found;
    const int failed = fstatat(folder, name, &found, 0);
    if (failed && errno == EINTR) {
        return 0;
    }
    const uint64_t stamp = failed ? 0 : nanoseconds(found.st_mtim) * 1000003u + nanoseconds(found.st_ctim);
    row[0] = failed ? -1 : (int64_t)found.st_size;
    row[1] = (int64_t)(stamp & INT64_MAX);
    return 1;
}

/* How many of the names, each with a NUL behind it, there are; -1 where the last has none. */
static Py_ssize_t
count(const char *names, Py_ssize_t size)
{
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        n += names[i] == '\0';
    }
    return size && names[size - 1] != '\0' ? -1 : n;
}

static PyObject *
run(int folder, const Py_buffer *view)
{
    const char *name = view[NAMES_VIEW].buf;
    const Py_ssize_t rows = view[OUT_VIEW].shape[0];
    if (kind_of(&view[OUT_VIEW]) != 'q' || view[OUT_VIEW].readonly || view[OUT_VIEW].shape[1] != 2) {
        PyErr_SetString(PyExc_ValueError, "out must be writable int64 of shape [n, 2]");
        return NULL;
    }
    if (view[NAMES_VIEW].itemsize != 1 || count(name, view[NAMES_VIEW].len) != rows) {
        PyErr_SetString(PyExc_ValueError, "names must be as many as out has rows, each with a NUL behind it");
        return NULL;
    }
    if (overlap(&view[NAMES_VIEW], &view[OUT_VIEW])) {
        PyErr_SetString(PyExc_ValueError, "out must not overlap names");
        return NULL;
    }
    int64_t *row = view[OUT_VIEW].buf;
    for (Py_ssize_t i = 0; i < rows;) {
        const Py_ssize_t stop = rows - i < SIGNALS_EVERY ? rows : i + SIGNALS_EVERY;
        PyThreadState *state = PyEval_SaveThread();
        while (i < stop && look_at(folder, name, row + 2 * i)) {
            name += strlen(name) + 1;
            i++;
        }
        PyEval_RestoreThread(state);
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyObject *
ltfix_look(PyObject *const *args, Py_ssize_t n_args)
{
    if (n_args != N_VIEWS + 1) {
        return PyErr_Format(PyExc_TypeError, "look() takes 3 positional arguments but %zd were given", n_args);
    }
    const long folder = PyLong_AsLong(args[0]);
    if (folder == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return NULL;
    }
    PyErr_Clear();
    if (folder < 0 || folder > INT_MAX) {
        return PyErr_Format(PyExc_ValueError, "folder must be a file descriptor, not %R", args[0]);
    }
    Py_buffer view[N_VIEWS] = {{0}};
    PyObject *result = NULL;
    if (acquire(args[1], &view[NAMES_VIEW], "names", 1) == 0 && acquire(args[2], &view[OUT_VIEW], "out", 2) == 0) {
        result = run((int)folder, view);
    }
    for (int i = 0; i < N_VIEWS; i++) {
        PyBuffer_Release(&view[i]);
    }
    return result;
}

#else
typedef int nothing_here; /* an empty file is no C */
#endif
