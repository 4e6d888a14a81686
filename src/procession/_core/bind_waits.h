/* Events, conditions and barriers: what their bindings have in common. */
#ifndef PROCESSION_BIND_WAITS_H
#define PROCESSION_BIND_WAITS_H

#include "binding.h"

#include "bind_object.h"
#include "census.h"
#include "platform.h"

#define MOMENT_NS 250000u /* longer than any spin: see patience.c */

#define WAIT_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* What wait(timeout=None) was called with (borrowed), or NULL with an exception. */
PyObject *timeout_given(PyObject *const *args, Py_ssize_t count, PyObject *names);

/* The same as a moment: pcn_now_ns() from which on not to wait
 * any more; UINT64_MAX: never. -1 with an exception. */
int deadline_argument(PyObject *const *args, Py_ssize_t count, PyObject *names,
                      uint64_t *deadline);

/* The same for a value: None or seconds. */
int deadline_of(PyObject *timeout, uint64_t *deadline);

/* In the spot of who waits until then. */
static inline uint32_t spot_op(uint64_t deadline)
{
    return deadline == UINT64_MAX ? 0 : PCN_SPOT_TIMED;
}

/* Whether a look around that takes a moment is over before the deadline. */
static inline bool has_a_moment(uint64_t deadline)
{
    return deadline == UINT64_MAX || pcn_now_ns() + MOMENT_NS < deadline;
}

/* Of the types. */
PyObject *waits_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
void waits_free(PyObject *self);

extern PyType_Spec event_spec;
extern PyType_Spec condition_spec;
extern PyType_Spec barrier_spec;

#endif
