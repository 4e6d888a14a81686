/* The binding: C core on one side, Python's stable ABI on the other. No mechanism here:
 * each function converts, lets the GIL go around waits, and turns a status into Python. */
#ifndef PROCESSION_BINDING_H
#define PROCESSION_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arena.h"

/* The last that a tp_dealloc does: give an instance of a type of ours back, and let its type go. */
static inline void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* How long one sleep may last before its condition is looked at again. */
#define STEP_NS 200000000u

/* Bytes from which on others get the GIL while they are copied. */
#define LONG_COPY 262144u

/* bind_family.c: this process's arena, made and joined at need. NULL with an exception. */
extern struct pcn_arena family;
struct pcn_arena *family_enter(void);

static inline struct pcn_arena *family_arena(void)
{
    return family.me != 0 ? &family : family_enter();
}
extern PyMethodDef family_methods[];

/* The same, or NULL without an exception if this process has not joined one. */
struct pcn_arena *family_arena_if_joined(void);

/* Whether the arena's descriptor is what it was: programs close those that they do not know. */
bool family_has_descriptor(void);

/* Tells this arena from any other on the machine. */
uint64_t family_number(void);

/* Tells a process that has joined from those that it forks; and those from theirs. */
uint64_t family_generation(void);

/* A fork server: belongs to no family, and what it makes is bound by its children. */
bool family_stays_out(void);

/* What this process is called; written into its slot when it joins. */
void family_name(const char *name);
void family_write_name(struct pcn_arena *arena);

/* bind_failpoint.c */
extern PyMethodDef failpoint_methods[];

/* bind_turn.c */
extern PyMethodDef turn_methods[];

/* bind_numbers.c */
extern PyMethodDef numbers_methods[];

/* bind_outcomes.c */
extern PyMethodDef outcomes_methods[];

/* bind_census.c */
extern PyMethodDef census_methods[];

/* bind_channel.c */
extern PyType_Spec channel_spec;
extern PyTypeObject *channel_type;

/* bind_fast_path.c */
extern PyType_Spec fast_path_spec;

/* Raise what a status means. Always returns NULL. */
PyObject *raise_status(enum pcn_status status);

/* Nanoseconds for a timeout argument: None is for ever (UINT64_MAX), seconds otherwise.
 * Returns -1 with an exception for anything else. */
int timeout_argument(PyObject *argument, uint64_t *nanoseconds);

#endif
