#include "bind_locks.h"

#include "bind_waits.h"
#include "platform.h"

static const char *const argument_names[] = {"block", "timeout"};

static int which_argument(PyObject *name)
{
    for (int i = 0; i < 2; i++) {
        if (PyUnicode_CompareWithASCIIString(name, argument_names[i]) == 0)
            return i;
    }
    return -1;
}

int acquire_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names,
                      uint64_t *timeout)
{
    PyObject *given[2] = {NULL, NULL};
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    if (count + named > 2) {
        PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)",
                     count + named);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int which = which_argument(name);
        if (which < 0 || given[which]) {
            PyErr_Format(PyExc_TypeError, "acquire() got an unexpected or repeated argument '%U'",
                         name);
            return -1;
        }
        given[which] = args[count + i];
    }
    int block = given[0] ? PyObject_IsTrue(given[0]) : 1;
    *timeout = 0;
    if (block <= 0)
        return block;
    return timeout_argument(given[1] ? given[1] : Py_None, timeout);
}

/* Sleep in bounded steps. A signal handler may do anything: even fork, and come back here. */
static enum pcn_status sleep_on(struct handle *handle, struct pcn_arena **arena,
                                const struct pcn_wait *wait, sleep_function *sleep,
                                pcn_token *dead)
{
    for (;;) {
        struct pcn_arena *here = *arena;
        struct pcn_spot *spot = pcn_spot_mine(here, this_thread());
        enum pcn_status status;
        pcn_spot_stand(here, spot, handle->name, spot_op(wait->deadline),
                       place_of_caller(handle));
        pcn_spot_backdate(spot, wait->began);
        Py_BEGIN_ALLOW_THREADS
        status = sleep(handle, here, wait, dead);
        Py_END_ALLOW_THREADS
        pcn_spot_leave(spot);
        if (status != PCN_SIGNAL)
            return status;
        if (PyErr_CheckSignals() < 0 || !(*arena = handle_arena(handle)))
            return PCN_SIGNAL;
    }
}

int wait_to_take(struct handle *handle, uint64_t timeout, sleep_function *sleep,
                 take_function *take)
{
    uint64_t now = pcn_now_ns();
    struct pcn_wait wait = {now, timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout};
    struct pcn_arena *arena = handle_arena(handle);
    pcn_token dead = 0;
    while (arena) {
        enum pcn_status status = sleep_on(handle, &arena, &wait, sleep, &dead);
        if (status == PCN_OWNER_DIED)
            raise_owner_died(handle, dead);
        if (status == PCN_TIMEOUT)
            return 0;
        if (status != PCN_OK)
            return -1;
        if (!take || take(handle, arena, &wait))
            return 1;
    }
    return -1;
}

PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args; /* __init__ reads them */
    (void)keywords;
    return PyType_GenericAlloc(type, 0);
}

void lock_dealloc(PyObject *self)
{
    handle_drop((struct handle *)self);
    free_object(self);
}
