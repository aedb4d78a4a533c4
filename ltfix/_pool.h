/* Pooling of adjacent violators, for one element type: REAL is the type, OF(name) the name for it.

   Two choices make it fast. A block absorbs what follows before it looks back, so a falling run
   never touches the stack; and means are compared by cross-multiplying sums and lengths, so that
   nothing is divided until the blocks are final. Only strict violations merge: ties stay apart.
   _pava_py.py does the same additions in the same order, which makes it equal to the last bit. */

/* Sum of |y|, times n: not finite if any y is not, or if some product below could overflow. */
static double
OF(magnitude)(const REAL *y, Py_ssize_t n)
{
    double a = 0, b = 0, c = 0, d = 0; /* four chains of additions: none waits for the others */
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8) {
        a += fabs((double)y[i]) + fabs((double)y[i + 4]);
        b += fabs((double)y[i + 1]) + fabs((double)y[i + 5]);
        c += fabs((double)y[i + 2]) + fabs((double)y[i + 6]);
        d += fabs((double)y[i + 3]) + fabs((double)y[i + 7]);
    }
    for (; i < n; i++) {
        a += fabs((double)y[i]);
    }
    return ((a + b) + (c + d)) * (double)n;
}

/* Block means to every element, last block first: the sums may lie in out itself (never behind
   the block they belong to). Neighbours that cross-multiply to equal may divide an ulp apart in
   the wrong order, hence the ceiling. */
static void
OF(expand)(REAL *out, const double *sums, const int64_t *starts, Py_ssize_t top)
{
    double ceiling = DBL_MAX;
    for (Py_ssize_t b = top; b-- > 0;) {
        const Py_ssize_t start = (Py_ssize_t)starts[b];
        Py_ssize_t stop = (Py_ssize_t)starts[b + 1];
        const double mean = stop - start > 1 ? sums[b] / (double)(stop - start) : sums[b];
        ceiling = mean > ceiling ? ceiling : mean;
        const REAL value = (REAL)ceiling;
        for (; stop - start >= 4; stop -= 4) {
            out[stop - 4] = out[stop - 3] = out[stop - 2] = out[stop - 1] = value;
        }
        while (stop > start) {
            out[--stop] = value;
        }
    }
}

/* Is the block below the one in hand [start, i) above it in the mean? */
#define VIOLATED (top && sums[top - 1] * length > sum * (double)(start - starts[top - 1]))

static Py_ssize_t
OF(pool)(const REAL *y, REAL *out, int64_t *starts, Py_ssize_t n, double *sums)
{
    Py_ssize_t top = 0, i = 0; /* blocks 0 .. top-1 are done; y[i] comes next */
    while (i + 1 < n && y[i] <= y[i + 1]) {
        i++;
    }
    const int sorted = i + 1 >= n;
    for (i = sorted ? n : i; top < i; top++) { /* what rises from the start is its own answer */
        starts[top] = top;
    }
    if (sorted) {
        starts[n] = n;
        memmove(out, y, (size_t)n * sizeof(REAL));
        return n;
    }
    for (Py_ssize_t b = 0; b < top; b++) {
        sums[b] = (double)y[b];
    }
    while (i < n) {
        double sum = (double)y[i], length = 1;
        Py_ssize_t start = i++;
        if (i == n || sum <= (double)y[i]) { /* not below the block before, not above the next */
            sums[top] = sum;
            starts[top++] = start;
            continue;
        }
        for (;;) {
            while (i < n && sum > (double)y[i] * length) {
                sum += (double)y[i++];
                length += 1;
            }
            if (!VIOLATED) {
                break;
            }
            do {
                sum += sums[--top];
                start = (Py_ssize_t)starts[top];
                length = (double)(i - start);
            } while (VIOLATED);
        }
        sums[top] = sum;
        starts[top++] = start;
    }
    starts[top] = n;
    OF(expand)(out, sums, starts, top);
    return top;
}

#undef VIOLATED

/* With weights: a plain stack of (mean, sum, mass); means are compared as they are, so that an
   element alone keeps its value to the last bit and equal elements never merge by rounding. */
static Py_ssize_t
OF(pool_weighted)(const REAL *y, const REAL *w, REAL *out, int64_t *starts, Py_ssize_t n, double *scratch)
{
    double *means = scratch, *sums = scratch + n, *masses = scratch + 2 * n;
    Py_ssize_t top = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        double mean = (double)y[i], mass = (double)w[i], sum = mean * mass;
        int64_t start = i;
        while (top && means[top - 1] > mean) {
            sum += sums[--top];
            mass += masses[top];
            mean = sum / mass;
            start = starts[top];
        }
        means[top] = mean;
        sums[top] = sum;
        masses[top] = mass;
        starts[top++] = start;
    }
    starts[top] = n;
    for (Py_ssize_t b = 0, i = 0; b < top; b++) {
        while (i < starts[b + 1]) {
            out[i++] = (REAL)means[b];
        }
    }
    return top;
}

/* Blocks made, or -1 where the values are refused (nothing is written then). scratch: n doubles
   for float, none for double (out holds the sums), 3n with weights. */
static Py_ssize_t
OF(pava)(const REAL *y, const REAL *w, REAL *out, int64_t *starts, Py_ssize_t n, double *scratch)
{
    if (w == NULL) {
        const int sane = OF(magnitude)(y, n) <= DBL_MAX;
        return sane ? OF(pool)(y, out, starts, n, scratch ? scratch : (double *)(void *)out) : -1;
    }
    double total = 0, mass = 0;
    int positive = 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        total += fabs((double)y[i]) * (double)w[i];
        mass += (double)w[i];
        positive &= (double)w[i] > 0;
    }
    const int sane = positive && total <= DBL_MAX && mass <= DBL_MAX;
    return sane ? OF(pool_weighted)(y, w, out, starts, n, scratch) : -1;
}
