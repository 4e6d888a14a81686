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

/* After so many tasks, or when they have taken so long, Python may do what it does between two
 * steps: run signal handlers, and let other threads run. */
#define MOST_TASKS 64
#define LONG_NS 1000000u

struct service {
    Channel *channel;
    struct pcn_arena *arena;
    PyObject *known;      /* dict: functions by their numbers */
    struct here *here;    /* says what runs */
    PyObject *unfinished; /* a set: not empty while there is something printed to be looked after */
    PyObject *encode;     /* (value, error): the answer, where that is not plain */
    PyObject *finish;     /* (number, answer): answers when there is more to do */
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

/* Take the value, or NULL and what was raised: the answer. Neither is kept: what they have is let
 * go before anybody is told. */
static PyObject *encode_in_python(const struct service *service, PyObject *value)
{
    PyObject *error = value ? NULL : take_exception();
    PyErr_Clear();
    PyObject *answer = value || error
                           ? PyObject_CallFunctionObjArgs(service->encode, value ? value : Py_None,
                                                          error ? error : Py_None, NULL)
                           : PyErr_NoMemory();
    Py_XDECREF(value);
    Py_XDECREF(error);
    return answer;
}

static int finish_in_python(const struct service *service, uint64_t task, PyObject *answer)
{
    PyObject *number = PyLong_FromUnsignedLongLong(task);
    PyObject *none =
        number ? PyObject_CallFunctionObjArgs(service->finish, number, answer, NULL) : NULL;
    Py_XDECREF(number);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* With what is not plain, or with more to do before. */
static int answer_in_python(const struct service *service, uint64_t task, PyObject *value,
                            PyObject *payload)
{
    PyObject *answer;
    if (payload) {
        Py_XDECREF(value);
        answer = Py_BuildValue("(IO)", VALUE, payload);
    } else
        answer = encode_in_python(service, value);
    int failed = answer ? finish_in_python(service, task, answer) : -1;
    Py_XDECREF(answer);
    return failed;
}

/* Run it, and answer. */
static int serve_one(const struct service *service, const struct pcn_message *message,
                     struct call *call)
{
    service->here->function = message->function;
    service->here->number = message->task;
    PyObject *value = run(call);
    drop(call);
    if (!value && is_fork_of_worker(service->channel))
        return -1; /* what it raised is its own */
    PyObject *payload = value ? plain_pickle(value) : NULL;
    int failed;
    if (!payload || PySet_Size(service->unfinished) != 0)
        failed = answer_in_python(service, message->task, value, payload);
    else {
        Py_DECREF(value);
        service->here->number = 0;
        failed = end_if_forked(service->channel);
        if (!failed)
            failed =
                answer_task(service->channel, service->arena, message->task, VALUE, payload);
    }
    Py_XDECREF(payload);
    return failed;
}

/* Since its claim. */
static uint64_t time_of_task(const struct service *service)
{
    const Channel *channel = service->channel;
    return pcn_now_ns() -
           pcn_load_relaxed64(&channel->channel->claims[channel->worker].since);
}

static PyObject *serve(const struct service *service, PyObject *modules)
{
    Py_ssize_t loaded = PyDict_Size(modules);
    uint64_t taken = 0;
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
        taken += time_of_task(service);
        if (PyDict_Size(modules) != loaded || taken > LONG_NS)
            break;
    }
    Py_RETURN_TRUE;
}

PyObject *channel_serve(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *modules = PySys_GetObject("modules");
    if (count != 5 || !PyDict_Check(args[0]) || !PyObject_TypeCheck(args[1], here_type) ||
        !PySet_Check(args[2]) || !modules || !PyDict_Check(modules)) {
        PyErr_SetString(PyExc_TypeError, "serve(known, here, unfinished, encode, finish)");
        return NULL;
    }
    const struct service service = {self,    family_arena(), args[0], (struct here *)args[1],
                                    args[2], args[3],        args[4]};
    if (!service.arena)
        return NULL;
    Py_INCREF(modules);
    PyObject *task = serve(&service, modules);
    Py_DECREF(modules);
    return task;
}
