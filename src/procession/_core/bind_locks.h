/* What the bindings of locks and semaphores have in common. */
#ifndef PROCESSION_BIND_LOCKS_H
#define PROCESSION_BIND_LOCKS_H

#include "bind_object.h"

#include <string.h>

#include "mutex.h"

/* acquire(block=True, timeout=None) as nanoseconds to wait: 0 is not to wait. -1: exception. */
int acquire_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names,
                      uint64_t *timeout);

/* One sleep of `handle`'s kind, with the GIL released; what it returns as the core does. */
typedef enum pcn_status sleep_function(struct handle *handle, struct pcn_arena *arena,
                                       const struct pcn_wait *wait, pcn_token *dead);

/* Take what was waited for, with the GIL; whether it was to be had. NULL: the sleep took it. */
typedef bool take_function(struct handle *handle, struct pcn_arena *arena,
                           const struct pcn_wait *wait);

/* Sleep and take until it is taken, or the time is over. 1, 0, or -1 with an exception. */
int wait_to_take(struct handle *handle, uint64_t timeout, sleep_function *sleep,
                 take_function *take);

/* The arena, for a handle that __init__ has been called of; NULL with an exception. */
static inline struct pcn_arena *lock_arena(struct handle *handle)
{
    if (handle->kind)
        return handle_arena(handle);
    PyErr_SetString(PyExc_RuntimeError, "this lock was not made: its __init__() was not called");
    return NULL;
}

/* Of the types: __new__ and its end. */
PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
void lock_dealloc(PyObject *self);

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

/* Whether this is one of our recursive locks that the calling thread has: then taking it
 * once more and giving it back changes nothing. Never fails. */
bool mutex_is_reentered(PyObject *lock);

extern PyType_Spec guarded_spec;
extern PyType_Spec mutex_spec;
extern PyType_Spec semaphore_spec;

#endif
