#include "kernels/math.h"

namespace quatrain {
namespace {

// Polynomials of FreeBSD's msun (k_sin.c, k_cos.c) for |r| <= pi / 4.
double SinPolynomial(double r) {
  const double z = r * r;
  double p = 1.58969099521155010221e-10;
  p = std::fma(p, z, -2.50507602534068634195e-08);
  p = std::fma(p, z, 2.75573137070700676789e-06);
  p = std::fma(p, z, -1.98412698298579493134e-04);
  p = std::fma(p, z, 8.33333333332248946124e-03);
  p = std::fma(p, z, -1.66666666666666324348e-01);
  return std::fma(p, z * r, r);
}

double CosPolynomial(double r) {
  const double z = r * r;
  double p = -1.13596475577881948265e-11;
  p = std::fma(p, z, 2.08757232129817482790e-09);
  p = std::fma(p, z, -2.75573143513906633035e-07);
  p = std::fma(p, z, 2.48015872894767294178e-05);
  p = std::fma(p, z, -1.38888888888741095749e-03);
  p = std::fma(p, z, 4.16666666666666019037e-02);
  p = std::fma(p, z, -0.5);
  return std::fma(p, z, 1.0);
}

}  // namespace

SinCosResult SinCos(float x) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kHalfPi = 0x1.921fb54442d18p+0;
  constexpr double kHalfPiRest = 0x1.1a62633145c07p-54;
  constexpr double kMagic = 0x1.8p52;  // adding it rounds to an integer
  const double shifted = std::fma(static_cast<double>(x), kTwoOverPi, kMagic);
  const double n = shifted - kMagic;
  double r = std::fma(n, -kHalfPi, static_cast<double>(x));
  r = std::fma(n, -kHalfPiRest, r);
  const float sine = static_cast<float>(SinPolynomial(r));
  const float cosine = static_cast<float>(CosPolynomial(r));
  switch (std::bit_cast<uint64_t>(shifted) & 3) {  // n modulo 4
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace quatrain
