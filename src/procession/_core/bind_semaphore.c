/* Semaphore: permits that processes share. */
#include "bind_locks.h"

#include "semaphore.h"

static enum pcn_status set_up(struct pcn_arena *arena, struct handle *handle)
{
    pcn_semaphore_init(handle_body(arena, handle), (uint32_t)handle->parameters[0],
                       (uint32_t)handle->parameters[1]);
    return PCN_OK;
}

static const struct handle_kind semaphore_kind = {.kind = PCN_SEMAPHORE, .set_up = set_up};

static enum pcn_status sleep_for_one(struct handle *handle, struct pcn_arena *arena,
                                     const struct pcn_wait *wait, pcn_token *dead)
{
    return pcn_semaphore_wait(arena, handle->name, wait, dead);
}

static bool take_one(struct handle *handle, struct pcn_arena *arena,
                     const struct pcn_wait *wait)
{
    return pcn_semaphore_take(handle_body(arena, handle), handle_hold(arena, handle), wait);
}

static PyObject *acquire(struct handle *self, uint64_t timeout)
{
    struct pcn_arena *arena = lock_arena(self);
    if (!arena)
        return NULL;
    if (timeout == 0) {
        if (!pcn_semaphore_try(handle_body(arena, self), handle_hold(arena, self)))
            Py_RETURN_FALSE;
    } else if (!take_one(self, arena, NULL)) {
        int got = wait_to_take(self, timeout, sleep_for_one, take_one);
        if (got < 0)
            return NULL;
        if (got == 0)
            Py_RETURN_FALSE;
    }
    note_place(self, arena);
    Py_RETURN_TRUE;
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names)
{
    uint64_t timeout = UINT64_MAX;
    if ((count != 0 || names) && acquire_arguments(args, count, names, &timeout) < 0)
        return NULL;
    return acquire((struct handle *)self, timeout);
}

static PyObject *semaphore_enter(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return acquire((struct handle *)self, UINT64_MAX);
}

static PyObject *semaphore_release(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    struct handle *self = (struct handle *)object;
    struct pcn_arena *arena = lock_arena(self);
    if (!arena)
        return NULL;
    if (pcn_semaphore_release(handle_body(arena, self), handle_hold(arena, self)) != PCN_OK) {
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *semaphore_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return semaphore_release(self, NULL);
}

static PyObject *semaphore_value(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = lock_arena((struct handle *)self);
    if (!arena)
        return NULL;
    return PyLong_FromUnsignedLong(
        pcn_semaphore_value(handle_body(arena, (struct handle *)self)));
}

static PyObject *semaphore_recover(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    struct handle *self = (struct handle *)object;
    struct pcn_arena *arena = lock_arena(self);
    if (!arena)
        return NULL;
    uint32_t permits;
    Py_BEGIN_ALLOW_THREADS
    permits = pcn_semaphore_recover(arena, self->name);
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(permits);
}

static int semaphore_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"value", "maximum", NULL};
    struct handle *self = (struct handle *)object;
    long long value = 1, maximum = PCN_SEMAPHORE_MOST;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|LL", names, &value, &maximum))
        return -1;
    if (value < 0 || value > PCN_SEMAPHORE_MOST || value > maximum ||
        maximum > PCN_SEMAPHORE_MOST) {
        PyErr_Format(PyExc_ValueError, "a semaphore has 0 to %lld permits, not %lld",
                     (long long)PCN_SEMAPHORE_MOST, value);
        return -1;
    }
    if (self->kind)
        return 0; /* called once more */
    self->parameters[0] = (uint64_t)value;
    self->parameters[1] = (uint64_t)maximum;
    return handle_create(self, &semaphore_kind);
}

static PyObject *semaphore_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &semaphore_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *semaphore_maximum(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return PyLong_FromUnsignedLongLong(((struct handle *)self)->parameters[1]);
}

static PyMethodDef semaphore_methods[] = {
    {"acquire", FAST(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire(block=True, timeout=None): take a permit, waiting at most `timeout` seconds; whether "
     "one was taken. OwnerDied if a process died with permits that are missing now."},
    {"release", semaphore_release, METH_NOARGS,
     "release(): give a permit. ValueError if there are as many as there may be."},
    {"__enter__", semaphore_enter, METH_NOARGS, "As acquire()."},
    {"__exit__", FAST(semaphore_exit), METH_FASTCALL, "As release()."},
    {"get_value", semaphore_value, METH_NOARGS, "get_value(): how many permits there are now."},
    {"recover", semaphore_recover, METH_NOARGS,
     "recover(): give the permits back that dead processes held; how many."},
    {"_maximum", semaphore_maximum, METH_NOARGS, "_maximum(): how many permits there may be."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS, "For pickle: a handle on the same permits."},
    {"_arrive", semaphore_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_doc, "Semaphore(value=1, maximum=2147483647): permits shared by processes."},
    {0, NULL},
};

PyType_Spec semaphore_spec = {
    .name = "procession._core.binding.Semaphore",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = semaphore_slots,
};
