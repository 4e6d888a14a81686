/* Pickles of what is plain, written and read without pickle. */
#ifndef PROCESSION_BIND_PLAIN_H
#define PROCESSION_BIND_PLAIN_H

#include "binding.h"

#define PLAIN_ROOM 512u /* bytes of a plain pickle, at most */

/* bind_plain.c. The bytes that pickle.dumps(value, 5) gives; NULL: the value is not plain, or larger
 * than that, or there is an exception. */
PyObject *plain_pickle(PyObject *value);

/* What a pickle holds, whoever made it; NULL: it is not that plain, or no pickle, or there is an
 * exception; pickle is to be asked. */
PyObject *plain_load(const uint8_t *bytes, Py_ssize_t length);

#endif
