/* The part of _look.c that _pava.c, which holds the module, gives to Python. */

#ifndef LTFIX_LOOK_H
#define LTFIX_LOOK_H

#include "_buffers.h"

#ifndef _WIN32 /* which finds no file from an open folder */
#define LTFIX_HAS_LOOK
PyObject *ltfix_look(PyObject *const *args, Py_ssize_t n_args);
#endif

#endif
