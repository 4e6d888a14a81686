"""The backend for joblib: results, errors, deaths, arrays, kept pools; scikit-learn above it."""
