#include "bind_raised.h"

PyObject *take_exception(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace)
        PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

void keep_raised(struct raised *kept)
{
    if (kept->type && (PyErr_ExceptionMatches(PyExc_Exception) ||
                       !PyErr_GivenExceptionMatches(kept->type, PyExc_Exception))) {
        PyErr_Clear();
        return;
    }
    struct raised before = *kept;
    PyErr_Fetch(&kept->type, &kept->value, &kept->trace);
    Py_XDECREF(before.type); /* last: this may run anything */
    Py_XDECREF(before.value);
    Py_XDECREF(before.trace);
}

int raise_kept(struct raised *kept)
{
    if (!kept->type)
        return 0;
    PyErr_Restore(kept->type, kept->value, kept->trace);
    return -1;
}
