/* Channel, the worker's side: serve. A loop over the simplest and most frequent tasks, with no
 * Python code of ours: a function that is known, called with what is plain. It returns the first
 * task that is not so simple, as claim() does. */
#include "bind_channel.h"

#include "bind_here.h"
#include "bind_plain.h"
#include "bind_raised.h"
#include "platform.h"

/* Kinds of tasks, as in messages.py. */
#define CALL 0u
#define CALL_ONE 5u
#define VALUE 0u

/* After so many tasks, or one that took so long, Python may do what it does between two steps:
 * run signal handlers, and let other threads run. */
#define MOST_TASKS 64
#define LONG_TASK_NS 1000000u

struct service {
    Channel *channel;
    struct pcn_arena *arena;
    PyObject *known;      /* dict: functions by their numbers */
    struct here *here;    /* says what runs */
    PyObject *unfinished; /* a set: not empty while there is something printed to be looked after */
    PyObject *finish;     /* (number, value, error): answers what is not plain */
};

struct call {
    PyObject *function;
    PyObject *content; /* (args, kwds), or the one argument */
    bool is_one;
};

static void drop(struct call *call)
{
    Py_CLEAR(call->function);
    Py_CLEAR(call->content);
}

static bool is_pair_for_call(PyObject *content)
{
    return PyTuple_Check(content) && PyTuple_Size(content) == 2 &&
           PyTuple_Check(PyTuple_GetItem(content, 0)) && PyDict_Check(PyTuple_GetItem(content, 1));
}

/* Whether it is that simple; no exception stays. Nothing is done if it is not. */
static bool open_call(const struct service *service, const struct pcn_message *message,
                      struct call *call)
{
    if ((message->kind != CALL && message->kind != CALL_ONE) || message->block)
        return false;
    call->is_one = message->kind == CALL_ONE;
    PyObject *number = PyLong_FromUnsignedLongLong(message->function);
    call->function =
        Py_XNewRef(number ? PyDict_GetItemWithError(service->known, number) : NULL);
    if (call->function)
        call->content =
            plain_load(service->channel->scratch, (Py_ssize_t)message->length);
    Py_XDECREF(number);
    if (call->content && (call->is_one || is_pair_for_call(call->content)))
        return true;
    drop(call);
    PyErr_Clear();
    return false;
}

static PyObject *run(const struct call *call)
{
    if (call->is_one)
        return PyObject_CallFunctionObjArgs(call->function, call->content, NULL);
    return PyObject_Call(call->function, PyTuple_GetItem(call->content, 0),
                         PyTuple_GetItem(call->content, 1));
}

/* A value, or NULL and what was raised: not plain, or not all there is to do. */
static int finish_in_python(const struct service *service, uint64_t task, PyObject *value)
{
    PyObject *error = value ? NULL : take_exception();
    PyObject *number = PyLong_FromUnsignedLongLong(task);
    PyObject *none = number && (value || error)
                         ? PyObject_CallFunctionObjArgs(service->finish, number,
                                                        value ? value : Py_None,
                                                        error ? error : Py_None, NULL)
                         : NULL;
    Py_XDECREF(number);
    Py_XDECREF(error);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* Run it, and answer. */
static int serve_one(const struct service *service, const struct pcn_message *message,
                     struct call *call)
{
    service->here->function = message->function;
    service->here->number = message->task;
    PyObject *value = run(call);
    drop(call);
    PyObject *payload = value ? plain_pickle(value) : NULL;
    int failed;
    if (is_fork_of_worker(service->channel)) /* what it raised, or its end, is its own */
        failed = value ? end_if_forked(service->channel) : -1;
    else if (!payload || PySet_Size(service->unfinished) != 0) {
        if (value)
            PyErr_Clear();
        failed = finish_in_python(service, message->task, value);
    } else {
        service->here->number = 0;
        failed = answer_task(service->channel, service->arena, message->task, VALUE, payload);
    }
    Py_XDECREF(payload);
    Py_XDECREF(value);
    return failed;
}

static bool was_long(const struct service *service)
{
    const Channel *channel = service->channel;
    uint64_t since = pcn_load_relaxed64(&channel->channel->claims[channel->worker].since);
    return pcn_now_ns() - since > LONG_TASK_NS;
}

static PyObject *serve(const struct service *service, PyObject *modules)
{
    Py_ssize_t loaded = PyDict_Size(modules);
    for (int served = 0; served < MOST_TASKS; served++) {
        struct pcn_message message;
        int got = claim_next(service->channel, service->arena, &message);
        if (got < 0)
            return NULL;
        if (got == 0)
            Py_RETURN_NONE;
        struct call call = {NULL, NULL, false};
        if (!open_call(service, &message, &call))
            return claimed(service->arena, service->channel, &message);
        if (serve_one(service, &message, &call) < 0)
            return NULL;
        if (PyDict_Size(modules) != loaded || was_long(service))
            break;
    }
    Py_RETURN_TRUE;
}

PyObject *channel_serve(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *modules = PySys_GetObject("modules");
    if (count != 4 || !PyDict_Check(args[0]) || !PyObject_TypeCheck(args[1], here_type) ||
        !PySet_Check(args[2]) || !modules || !PyDict_Check(modules)) {
        PyErr_SetString(PyExc_TypeError, "serve(known, here, unfinished, finish)");
        return NULL;
    }
    const struct service service = {self,    family_arena(), args[0], (struct here *)args[1],
                                    args[2], args[3]};
    if (!service.arena)
        return NULL;
    Py_INCREF(modules);
    PyObject *task = serve(&service, modules);
    Py_DECREF(modules);
    return task;
}
