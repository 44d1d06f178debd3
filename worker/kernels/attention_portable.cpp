// Attention for any CPU: nothing beyond the baseline that the compiler was told.
#include "worker/kernels/attention.inl.h"
#include "worker/kernels/portable_float.inl.h"
#include "worker/kernels/tables.h"

namespace sluice::kernels {
namespace {

typedef std::int32_t Integers __attribute__((vector_size(16)));
typedef std::int8_t Bytes __attribute__((vector_size(4)));

struct PortableAttention : PortableFloat {
  static constexpr int kTileQueries = 4;
  static constexpr int kKeyVectors = 2;
  static constexpr int kValueVectors = 2;

  using PortableFloat::load;
  static Vector load(const std::int8_t* from) {
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, Integers), Floats);
  }
  static void store_halves(std::uint16_t* to, Vector v) {
    for (std::size_t i = 0; i < kLanes; ++i) to[i] = float_to_half(v[i]);
  }
  static Vector multiply(Vector a, Vector b) { return a * b; }
  // Where b isn't a number, b.
  static Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
  static Vector larger(Vector a, Vector b) { return a > b ? a : b; }
};

}  // namespace

const AttentionKernels kPortableAttention = attention_kernels<PortableAttention>();

}  // namespace sluice::kernels
