// The elementwise and depthwise steps of a DwiseNeuro's wide branch, each stretch of them in one pass over memory.
//
// Tensors are float32, dense, channels last: (frames, rows, columns, channels), the channels a multiple of 16. SiLUs
// are applied on the way in, so that only what comes before them is stored. A place's channels are worked through in
// blocks of up to four vectors of 16, which stay in registers.

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int LANES = 16;
constexpr int MOST_VECTORS = 4;
constexpr int MOST_INPUTS = 8;

// GCC's and Clang's vectors: 16 numbers in one register where the processor has such, in several where it has not.
typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef std::int32_t Whole __attribute__((vector_size(LANES * sizeof(std::int32_t)), aligned(4)));
typedef std::vector<Vector> Vectors;

inline Vector all(float x) { return Vector{} + x; }

// exp(-x) by powers of two: the whole part goes into the exponent's bits, the rest through a polynomial (error 2e-7).
inline Vector logistic(Vector x) {
    Vector t = x * -1.44269504f;
    t = t < 126.0f ? t : all(126.0f);
    t = t > -126.0f ? t : all(-126.0f);
    const Whole whole_128 = __builtin_convertvector(t + 128.5f, Whole);  // rounds down, for t + 128.5 is positive
    const Vector f = t - (__builtin_convertvector(whole_128, Vector) - 128.0f);  // -0.5 .. 0.5
    const Vector power = 1.0f + f * (0.693147182f + f * (0.240226462f + f * (0.0555054694f
                       + f * (0.00967884468f + f * (0.00124439474f + f * 0.000217022f)))));
    const Whole bits = (whole_128 - 1) << 23;
    Vector scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return 1.0f / (1.0f + power * scale);
}

inline Vector silu(Vector x) { return x * logistic(x); }

inline Vector silu_slope(Vector x) {
    const Vector s = logistic(x);
    return s * (1.0f + x * (1.0f - s));
}

struct SiluAndSlope { Vector silu, slope; };

inline SiluAndSlope silu_and_slope(Vector x) {
    const Vector s = logistic(x), y = x * s;
    return {y, s + y * (1.0f - s)};
}

inline Vector read(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void write(Vector value, float* to) { *reinterpret_cast<Vector*>(to) = value; }

// The sum over the lanes of each of eight vectors: halves are added, two vectors' results lying in one, three times.
inline void totals(const Vector* x, int count, float* to) {
    Vector pairs[4], fours[2];
    for (int i = 0; i < 4; ++i) {
        const Vector a = x[2 * i], b = x[2 * i + 1];
        pairs[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
                 + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    for (int i = 0; i < 2; ++i) {
        const Vector a = pairs[2 * i], b = pairs[2 * i + 1];
        fours[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
                 + __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
    const Vector a = fours[0], b = fours[1];
    const Vector eight = __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29)
                       + __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    for (int i = 0; i < count; ++i) to[i] = eight[2 * i] + eight[2 * i + 1];
}

// Calls body<V>(first vector) for each block of V vectors.
template <class Body>
inline void each_block(int vectors, Body body) {
    int first = 0;
    for (; first + MOST_VECTORS <= vectors; first += MOST_VECTORS) body.template operator()<MOST_VECTORS>(first);
    switch (vectors - first) {
        case 1: body.template operator()<1>(first); break;
        case 2: body.template operator()<2>(first); break;
        case 3: body.template operator()<3>(first); break;
    }
}

// A depthwise filter's taps, (channels, taps) in memory, as (taps, channels).
Vectors taps_of(const float* weight, int channels, int taps) {
    Vectors turned(static_cast<std::size_t>(taps) * channels / LANES);
    for (int c = 0; c < channels; ++c)
        for (int k = 0; k < taps; ++k) turned[(k * channels + c) / LANES][c % LANES] = weight[c * taps + k];
    return turned;
}

struct Plane {
    int rows, columns, channels, kernel, stride;
    int pad() const { return kernel / 2; }
    int vectors() const { return channels / LANES; }
    int out_rows() const { return (rows - 1) / stride + 1; }
    int out_columns() const { return (columns - 1) / stride + 1; }
    std::size_t out_size() const { return static_cast<std::size_t>(out_rows()) * out_columns() * channels; }
};

// What is filtered, a frame of it: numbers in memory, plus a constant a channel. Overwritten with its gradient.
struct Stored {
    float* numbers;
    const float* shift;
    int columns, channels;
    float* at(int y, int x) const { return numbers + (static_cast<std::size_t>(y) * columns + x) * channels; }
    template <int V>
    void fetch(int y, int x, int first, Vector* to) const {
        const float *from = at(y, x) + first * LANES, *constant = shift + first * LANES;
        for (int v = 0; v < V; ++v) to[v] = read(from + v * LANES) + read(constant + v * LANES);
    }
    struct Gradient {
        float* to;
        Gradient(const Stored& stored, int y, int x) : to(stored.at(y, x)) {}
        template <int V>
        void take(const Vector* gradient, int first) {
            for (int v = 0; v < V; ++v) write(gradient[v], to + (first + v) * LANES);
        }
        void finish() {}
    };
};

// The same, computed from a few inputs a place: inputs x weight + a constant a place + a constant a frame.
struct Computed {
    const float *inputs, *weight, *place_constant, *frame_constant;  // weight (inputs, channels)
    float* gradient;  // of the inputs
    int count, columns, channels;
    std::size_t at(int y, int x) const { return static_cast<std::size_t>(y) * columns + x; }
    template <int V>
    void fetch(int y, int x, int first, Vector* to) const {
        const float *constant = place_constant + at(y, x) * channels + first * LANES, *in = inputs + at(y, x) * count;
        for (int v = 0; v < V; ++v) to[v] = read(constant + v * LANES) + read(frame_constant + (first + v) * LANES);
        for (int i = 0; i < count; ++i)
            for (int v = 0; v < V; ++v) to[v] += in[i] * read(weight + i * channels + (first + v) * LANES);
    }
    struct Gradient {
        const Computed& source;
        float* to;
        Vector sums[MOST_INPUTS] = {};
        Gradient(const Computed& source, int y, int x)
            : source(source), to(source.gradient + source.at(y, x) * source.count) {}
        template <int V>
        void take(const Vector* gradient, int first) {
            for (int i = 0; i < source.count; ++i)
                for (int v = 0; v < V; ++v)
                    sums[i] += gradient[v] * read(source.weight + i * source.channels + (first + v) * LANES);
        }
        void finish() {
            totals(sums, source.count, to);
        }
    };
};

// A few rows at a time of what is filtered: row r lies at r % held, with zeros left and right of it.
struct Ring {
    int held, width, margin, vectors;
    Vectors rows;
    Ring(int held, int columns, int margin, int vectors)
        : held(held), width(columns + 2 * margin), margin(margin), vectors(vectors),
          rows(static_cast<std::size_t>(held) * width * vectors, Vector{}) {}
    Vector* at(int row, int column) {
        return &rows[(static_cast<std::size_t>(row % held) * width + column + margin) * vectors];
    }
};

// Output rows [begin, end) of one frame: out = bias + filter(silu(source)).
template <class Source>
void filter_rows(const Source& source, const Vectors& taps, const float* bias, float* out, const Plane& p, int begin,
                 int end) {
    const int vectors = p.vectors();
    Ring ring(p.kernel, p.columns, p.pad(), vectors);
    int next = std::max(0, begin * p.stride - p.pad());  // the first row that is not in the ring yet
    for (int y = begin; y < end; ++y) {
        const int top = y * p.stride - p.pad();
        for (; next <= std::min(top + p.kernel - 1, p.rows - 1); ++next) {
            for (int x = 0; x < p.columns; ++x) {
                Vector* held = ring.at(next, x);
                each_block(vectors, [&]<int V>(int first) {
                    Vector value[V];
                    source.template fetch<V>(next, x, first, value);
                    for (int v = 0; v < V; ++v) held[first + v] = silu(value[v]);
                });
            }
        }
        const int ky_begin = std::max(0, -top), ky_end = std::min(p.kernel, p.rows - top);
        float* target = out + static_cast<std::size_t>(y) * p.out_columns() * p.channels;
        for (int x = 0; x < p.out_columns(); ++x, target += p.channels) {
            each_block(vectors, [&]<int V>(int first) {
                Vector sum[V];
                for (int v = 0; v < V; ++v) sum[v] = read(bias + (first + v) * LANES);
                for (int ky = ky_begin; ky < ky_end; ++ky) {
                    const Vector* place = ring.at(top + ky, x * p.stride - p.pad()) + first;
                    const Vector* tap = &taps[ky * p.kernel * vectors + first];
                    for (int kx = 0; kx < p.kernel; ++kx, place += vectors, tap += vectors)
                        for (int v = 0; v < V; ++v) sum[v] += tap[v] * place[v];
                }
                for (int v = 0; v < V; ++v) write(sum[v], target + (first + v) * LANES);
            });
        }
    }
}

// The way back, for rows [begin, end) of the source.
template <class Source>
void filter_rows_back(const float* gradient, const Vectors& taps, const Source& source, const Plane& p, int begin,
                      int end) {
    const int vectors = p.vectors(), pad = p.pad();
    Ring ring(p.kernel + 1, p.out_columns(), p.kernel, vectors);
    int next = std::max(0, (begin + pad - p.kernel + 1) / p.stride);
    for (int y = begin; y < end; ++y) {
        for (; next <= std::min((y + pad) / p.stride, p.out_rows() - 1); ++next) {
            const std::size_t length = static_cast<std::size_t>(p.out_columns()) * p.channels;
            std::memcpy(ring.at(next, 0), gradient + next * length, length * sizeof(float));
        }
        for (int x = 0; x < p.columns; ++x) {
            // taps kx0, kx0 + stride, ... meet columns x0, x0 - 1, ... of the gradient; likewise for rows
            const int kx0 = (x + pad) % p.stride, x0 = (x + pad) / p.stride;
            typename Source::Gradient result(source, y, x);
            each_block(vectors, [&]<int V>(int first) {
                Vector sum[V] = {}, before[V];
                for (int ky = (y + pad) % p.stride; ky < std::min(p.kernel, y + pad + 1); ky += p.stride) {
                    const int row = (y + pad - ky) / p.stride;
                    if (row >= p.out_rows()) continue;
                    const Vector* place = ring.at(row, x0) + first;
                    for (int kx = kx0; kx < p.kernel; kx += p.stride, place -= vectors) {
                        const Vector* tap = &taps[(ky * p.kernel + kx) * vectors + first];
                        for (int v = 0; v < V; ++v) sum[v] += tap[v] * place[v];
                    }
                }
                source.template fetch<V>(y, x, first, before);
                for (int v = 0; v < V; ++v) sum[v] *= silu_slope(before[v]);
                result.template take<V>(sum, first);
            });
            result.finish();
        }
    }
}

// Runs body(frame, begin, end) over bands of rows of all frames, enough of them to keep all threads busy.
template <class Body>
void each_band(int frames, int rows, int threads, Body body) {
    const int bands = std::min(rows, std::max(1, (2 * threads + frames - 1) / frames));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int task = 0; task < frames * bands; ++task) {
        const int band = task % bands;
        body(task / bands, band * rows / bands, (band + 1) * rows / bands);
    }
}

// Zeros before and after a column of frames.
template <int V>
void clear_ends(Vector* column, int frames, int pad) {
    std::fill_n(column, pad * V, Vector{});
    std::fill_n(column + (frames + pad) * V, pad * V, Vector{});
}

// One place, V vectors of its channels, all frames: out = silu(bias + filter(silu(in))).
template <int V>
void temporal_place(const float* in, const Vector* taps, const float* bias, float* out, Vector* sums, Vector* column,
                    int frames, std::size_t step, int kernel, int vectors) {
    const int pad = kernel / 2;
    clear_ends<V>(column, frames, pad);
    for (int t = 0; t < frames; ++t)
        for (int v = 0; v < V; ++v) column[(t + pad) * V + v] = silu(read(in + t * step + v * LANES));
    for (int t = 0; t < frames; ++t) {
        Vector sum[V];
        for (int v = 0; v < V; ++v) sum[v] = read(bias + v * LANES);
        for (int k = 0; k < kernel; ++k)
            for (int v = 0; v < V; ++v) sum[v] += taps[k * vectors + v] * column[(t + k) * V + v];
        for (int v = 0; v < V; ++v) {
            const Vector active = silu(sum[v]);
            sums[v] += active;
            write(active, out + t * step + v * LANES);
        }
    }
}

// The gradient of out, but for a constant a channel, is overwritten with that of in. What was filtered is computed
// again: that is faster than to store it.
template <int V>
void temporal_place_back(float* gradient, const float* constant, const float* in, const Vector* taps,
                         const float* bias, Vector* columns, int frames, std::size_t step, int kernel, int vectors) {
    const int pad = kernel / 2, length = (frames + kernel) * V;
    Vector *active = columns, *slopes = columns + length, *back = columns + 2 * length;
    clear_ends<V>(active, frames, pad);
    clear_ends<V>(back, frames, pad);
    for (int t = 0; t < frames; ++t) {
        for (int v = 0; v < V; ++v) {
            const SiluAndSlope both = silu_and_slope(read(in + t * step + v * LANES));
            active[(t + pad) * V + v] = both.silu;
            slopes[t * V + v] = both.slope;
        }
    }
    for (int t = 0; t < frames; ++t) {
        Vector sum[V];
        for (int v = 0; v < V; ++v) sum[v] = read(bias + v * LANES);
        for (int k = 0; k < kernel; ++k)
            for (int v = 0; v < V; ++v) sum[v] += taps[k * vectors + v] * active[(t + k) * V + v];
        for (int v = 0; v < V; ++v)
            back[(t + pad) * V + v] = (read(gradient + t * step + v * LANES) + read(constant + v * LANES))
                                    * silu_slope(sum[v]);
    }
    for (int t = 0; t < frames; ++t) {
        Vector sum[V] = {};
        for (int k = 0; k < kernel; ++k)
            for (int v = 0; v < V; ++v) sum[v] += taps[k * vectors + v] * back[(t + 2 * pad - k) * V + v];
        for (int v = 0; v < V; ++v) write(sum[v] * slopes[t * V + v], gradient + t * step + v * LANES);
    }
}

// Runs body(place, sums, workspace) over all places; what each thread gathers a channel is added up in sums, if any.
template <class Body>
void each_place(int places, int vectors, float* sums, int threads, Body body) {
    std::vector<Vectors> gathered(threads, Vectors(vectors, Vector{}));
#pragma omp parallel num_threads(threads)
    {
        Vectors workspace;
#pragma omp for schedule(static)
        for (int place = 0; place < places; ++place) body(place, gathered[omp_get_thread_num()].data(), workspace);
    }
    for (int v = 0; sums && v < vectors; ++v) {  // in the order of the threads: the same numbers each time
        Vector sum = {};
        for (const Vectors& mine : gathered) sum += mine[v];
        write(sum, sums + v * LANES);
    }
}

}  // namespace

extern "C" {

void spatial(const float* in, const float* shift, const float* weight, const float* bias, float* out, int frames,
             int rows, int columns, int channels, int kernel, int stride, int threads) {
    const Plane p{rows, columns, channels, kernel, stride};
    const Vectors taps = taps_of(weight, channels, kernel * kernel);
    each_band(frames, p.out_rows(), threads, [&](int t, int begin, int end) {
        float* frame = const_cast<float*>(in) + static_cast<std::size_t>(t) * rows * columns * channels;
        filter_rows(Stored{frame, shift, columns, channels}, taps, bias, out + t * p.out_size(), p, begin, end);
    });
}

// in is overwritten with its gradient
void spatial_back(const float* gradient, const float* weight, const float* shift, float* in, int frames, int rows,
                  int columns, int channels, int kernel, int stride, int threads) {
    const Plane p{rows, columns, channels, kernel, stride};
    const Vectors taps = taps_of(weight, channels, kernel * kernel);
    each_band(frames, rows, threads, [&](int t, int begin, int end) {
        float* frame = in + static_cast<std::size_t>(t) * rows * columns * channels;
        filter_rows_back(gradient + t * p.out_size(), taps, Stored{frame, shift, columns, channels}, p, begin, end);
    });
}

void first_spatial(const float* inputs, const float* expansion, const float* place_constant,
                   const float* frame_constants, const float* weight, const float* bias, float* out, int count,
                   int frames, int rows, int columns, int channels, int kernel, int stride, int threads) {
    const Plane p{rows, columns, channels, kernel, stride};
    const Vectors taps = taps_of(weight, channels, kernel * kernel);
    each_band(frames, p.out_rows(), threads, [&](int t, int begin, int end) {
        const Computed source{inputs + static_cast<std::size_t>(t) * rows * columns * count, expansion, place_constant,
                              frame_constants + t * channels, nullptr, count, columns, channels};
        filter_rows(source, taps, bias, out + t * p.out_size(), p, begin, end);
    });
}

void first_spatial_back(const float* gradient, const float* weight, const float* inputs, const float* expansion,
                        const float* place_constant, const float* frame_constants, float* inputs_gradient, int count,
                        int frames, int rows, int columns, int channels, int kernel, int stride, int threads) {
    const Plane p{rows, columns, channels, kernel, stride};
    const Vectors taps = taps_of(weight, channels, kernel * kernel);
    each_band(frames, rows, threads, [&](int t, int begin, int end) {
        const std::size_t at = static_cast<std::size_t>(t) * rows * columns * count;
        const Computed source{inputs + at, expansion, place_constant, frame_constants + t * channels,
                              inputs_gradient + at, count, columns, channels};
        filter_rows_back(gradient + t * p.out_size(), taps, source, p, begin, end);
    });
}

void temporal(const float* in, const float* weight, const float* bias, float* out, float* sums, int frames, int places,
              int channels, int kernel, int threads) {
    const int vectors = channels / LANES;
    const Vectors taps = taps_of(weight, channels, kernel);
    const std::size_t step = static_cast<std::size_t>(places) * channels;
    each_place(places, vectors, sums, threads, [&](int place, Vector* mine, Vectors& column) {
        column.resize(static_cast<std::size_t>(frames + kernel) * MOST_VECTORS);
        each_block(vectors, [&]<int V>(int first) {
            const std::size_t at = static_cast<std::size_t>(place) * channels + first * LANES;
            temporal_place<V>(in + at, &taps[first], bias + first * LANES, out + at, mine + first, column.data(),
                              frames, step, kernel, vectors);
        });
    });
}

// gradient is overwritten with that of in
void temporal_back(float* gradient, const float* constant, const float* in, const float* weight, const float* bias,
                   int frames, int places, int channels, int kernel, int threads) {
    const int vectors = channels / LANES;
    const Vectors taps = taps_of(weight, channels, kernel);
    const std::size_t step = static_cast<std::size_t>(places) * channels;
    each_place(places, vectors, nullptr, threads, [&](int place, Vector*, Vectors& columns) {
        columns.resize(3 * static_cast<std::size_t>(frames + kernel) * MOST_VECTORS);
        each_block(vectors, [&]<int V>(int first) {
            const std::size_t at = static_cast<std::size_t>(place) * channels + first * LANES;
            temporal_place_back<V>(gradient + at, constant + first * LANES, in + at, &taps[first], bias + first * LANES,
                                   columns.data(), frames, step, kernel, vectors);
        });
    });
}

// sums[channel] = sum over places of one * other
void product_sums(const float* one, const float* other, float* sums, int places, int channels, int threads) {
    const int vectors = channels / LANES;
    each_place(places, vectors, sums, threads, [&](int place, Vector* mine, Vectors&) {
        const std::size_t at = static_cast<std::size_t>(place) * channels;
        for (int v = 0; v < vectors; ++v) mine[v] += read(one + at + v * LANES) * read(other + at + v * LANES);
    });
}

}  // extern "C"
