/* The part of _samn.c that _pava.c, which holds the module, gives to Python. */

#ifndef LTFIX_SAMN_H
#define LTFIX_SAMN_H

#include "_buffers.h"

PyObject *ltfix_samn(PyObject *const *args, Py_ssize_t n_args, int forward);

#endif
