//! Functions that are formulas: each is one entry here, and needs no kernels of its own.
//!
//! The formula of an entry is read, made stable and recorded when the function is looked up, and runs
//! block by block. Parameters with their defaults and bounds are part of it: see
//! [`Formula`](crate::Formula).

use crate::activation::Meta;

/// A name and a formula; the rest by field update.
const fn of(name: &'static str, formula: &'static str) -> Meta {
    Meta::new(name, formula)
}

/// Elementwise functions, sorted by name.
pub(crate) static ELEMENTWISE: &[Meta] = &[
    Meta {
        aliases: &["absolute"],
        onnx: "Abs",
        ..of("abs", "where(x > 0, x, where(x < 0, -x, 0))")
    },
    Meta {
        source: "Ma, Zhang and Sun 2021, arXiv:2009.04759",
        use_when: "channels should choose between linear and rectified by themselves",
        ..of(
            "acon_c",
            "(p1 - p2) * x * sigmoid(beta * (p1 - p2) * x) + p2 * x; p1 = 1, p2 = 0, beta = 1",
        )
    },
    Meta {
        source: "Alexandridis and others 2024, arXiv:2407.08567",
        use_when: "classes are rare: its gate is Gumbel's for lambd near 0, logistic at 1",
        ..of(
            "aglu",
            "x * (1 + lambd * exp(-kappa * x))^(-1 / lambd); lambd = 1 in [0.0001, 1000], kappa = 1",
        )
    },
    Meta {
        source: "Agostinelli, Hoffman, Sadowski and Baldi 2014, arXiv:1412.6830",
        use_when: "a piecewise linear function should be learned for each channel",
        ..of(
            "apl",
            "max(x, 0) + a1 * max(b1 - x, 0) + a2 * max(b2 - x, 0); a1 = 0.2, b1 = 0, a2 = 0, b2 = 1",
        )
    },
    Meta { aliases: &["atan"], ..of("arctan", "atan(x)") },
    Meta { aliases: &["bentid"], ..of("bent_identity", "(sqrt(x^2 + 1) - 1) / 2 + x") },
    Meta {
        source: "2025, arXiv:2512.10938",
        use_when: "in place of layer normalisation",
        ..of("derf", "gamma * erf(alpha * x + s) + beta; alpha = 0.5, s = 0, gamma = 1, beta = 0")
    },
    Meta {
        aliases: &["dynamic_tanh"],
        source: "Zhu, Chen, He, LeCun and Liu 2025, arXiv:2503.10622",
        use_when: "in place of layer normalisation",
        ..of("dyt", "gamma * tanh(alpha * x) + beta; alpha = 0.5, gamma = 1, beta = 0")
    },
    Meta {
        source: "Basirat and Roth 2018, arXiv:1808.00783",
        ..of("elish", "where(x > 0, x * sigmoid(x), (exp(x) - 1) * sigmoid(x))")
    },
    Meta { onnx: "Erf", ..of("erf", "erf(x)") },
    Meta { aliases: &["exp"], keras: "exponential", onnx: "Exp", ..of("exponential", "exp(x)") },
    Meta {
        use_when: "a function should be learned that starts near relu",
        ..of(
            "gated_polynomial",
            "sigmoid(b) * max(x, 0) + (1 - sigmoid(b)) * a * (x + x^2 / 2 + x^3 / 3); a = 0.25, b = 0",
        )
    },
    Meta { aliases: &["gaussian_bump"], ..of("gaussian", "exp(-x^2)") },
    Meta {
        aliases: &["growing_cosine_unit"],
        source: "Noel, Arunkumar, Trivedi and Dutta 2021, arXiv:2108.12943",
        ..of("gcu", "x * cos(x)")
    },
    Meta { source: "Kaytan, Aydilek and Yeroglu 2023", ..of("gish", "x * log1p(-expm1(-exp(x)))") },
    Meta {
        source: "2025, arXiv:2502.03654",
        use_when: "a gate that is not symmetric: Gumbel's distribution",
        ..of("golu", "x * exp(-exp(-x))")
    },
    Meta {
        source: "the package timm",
        aliases: &["hard_mish_timm"],
        ..of("hard_mish", "x / 2 * min(2, max(0, x + 2))")
    },
    Meta {
        pytorch: "Hardshrink",
        keras: "hard_shrink",
        ..of("hard_shrink", "where(abs(x) > lambd, x, 0); lambd = 0.5 in [0, 1000000]")
    },
    Meta {
        aliases: &["clipped_linear"],
        pytorch: "Hardtanh",
        jax: "hard_tanh",
        keras: "hard_tanh",
        source: "Collobert 2004",
        ..of("hard_tanh", "min(max(x, min_val), max_val); min_val = -1, max_val = 1")
    },
    Meta {
        source: "Carlile, Delamarter, Kinney, Marti and Whitney 2017, arXiv:1710.09967",
        ..of("isrlu", "where(x > 0, x, x / sqrt(1 + alpha * x^2)); alpha = 1 in (0, 1000000)")
    },
    Meta {
        source: "Carlile, Delamarter, Kinney, Marti and Whitney 2017, arXiv:1710.09967",
        ..of("isru", "x / sqrt(1 + alpha * x^2); alpha = 1 in (0, 1000000)")
    },
    Meta {
        source: "Roy, Manna, Dubey and Chaudhuri 2019, arXiv:1901.05894",
        ..of("lisht", "x * tanh(x)")
    },
    Meta { aliases: &["log_cosh"], ..of("logcosh", "ln(cosh(x))") },
    Meta { source: "Zhu and others 2021", ..of("logish", "x * ln(1 + sigmoid(x))") },
    Meta { aliases: &["inverse_sigmoid"], ..of("logit", "ln(x / (1 - x))") },
    Meta { aliases: &["ndtr", "standard_normal_cdf"], ..of("normal_cdf", "normal_cdf(x)") },
    Meta {
        source: "Trottier, Giguere and Chaib-draa 2016, arXiv:1605.09332",
        ..of(
            "pelu",
            "where(x > 0, a / b * x, a * (exp(x / b) - 1)); a = 1 in [0.000001, 1000000], b = 1 in [0.000001, 1000000]",
        )
    },
    Meta { source: "Naveen 2022", ..of("phish", "x * tanh(gelu(x))") },
    Meta {
        source: "2024, arXiv:2411.03884",
        ..of(
            "polyrelu",
            "a0 + a1 * max(x, 0) + a2 * max(x, 0)^2 + a3 * max(x, 0)^3; a0 = 0, a1 = 1/3, a2 = 1/3, a3 = 1/3",
        )
    },
    Meta {
        aliases: &["gelu_quick"],
        source: "Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2",
        ..of("quick_gelu", "x * sigmoid(1.702 * x)")
    },
    Meta {
        pytorch: "ReLU6",
        jax: "relu6",
        keras: "relu6",
        source: "Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10",
        use_when: "results are kept in few bits",
        ..of("relu6", "min(max(x, 0), 6)")
    },
    Meta { source: "Nag and others 2021, arXiv:2108.09598", ..of("serf", "x * erf(softplus(x))") },
    Meta {
        source: "Schuett and others 2017, arXiv:1706.08566",
        ..of("shifted_softplus", "ln(exp(x) / 2 + 1/2)")
    },
    Meta {
        onnx: "Shrink",
        ..of(
            "shrink",
            "where(x > lambd, x - bias, where(x < -lambd, x + bias, 0)); lambd = 0.5 in [0, 1000000], bias = 0",
        )
    },
    Meta { aliases: &["signum"], onnx: "Sign", ..of("sign", "sign(x)") },
    Meta {
        aliases: &["siren"],
        source: "Sitzmann, Martel, Bergman, Lindell and Wetzstein 2020, arXiv:2006.09661",
        use_when: "coordinates become signals: images, shapes",
        ..of("sine", "sin(w0 * x); w0 = 30")
    },
    Meta {
        source: "Shamir, Lin and Coviello 2020, arXiv:2010.09931; 2022, arXiv:2202.06499",
        ..of(
            "smelu",
            "where(x > beta, x, where(x > -beta, (x + beta)^2 / (4 * beta), 0)); beta = 1 in [0.000001, 1000000]",
        )
    },
    Meta {
        source: "Biswas and others 2021, arXiv:2111.04682",
        ..of(
            "smu",
            "((1 + alpha) * x + (1 - alpha) * x * erf(mu * (1 - alpha) * x)) / 2; alpha = 0.25, mu = 2.5",
        )
    },
    Meta {
        source: "Ziyin, Hartwig and Ueda 2020, arXiv:2006.08195",
        use_when: "what is learned is periodic: audio",
        ..of("snake", "x + sin(alpha * x)^2 / alpha; alpha = 1 in [0.000001, 1000000]")
    },
    Meta {
        source: "Lee, Ping, Ginsburg, Catanzaro and Yoon 2022, arXiv:2206.04658",
        ..of(
            "snake_beta",
            "x + sin(alpha * x)^2 / beta; alpha = 1 in [0.000001, 1000000], beta = 1 in [0.000001, 1000000]",
        )
    },
    Meta {
        aliases: &["softcapping"],
        source: "Gemma Team 2024, arXiv:2408.00118",
        use_when: "logits must stay within a bound",
        ..of("soft_cap", "cap * tanh(x / cap); cap = 30 in [0.000001, 1000000]")
    },
    Meta {
        pytorch: "Softshrink",
        keras: "soft_shrink",
        ..of(
            "soft_shrink",
            "where(x > lambd, x - lambd, where(x < -lambd, x + lambd, 0)); lambd = 0.5 in [0, 1000000]",
        )
    },
    Meta {
        aliases: &["soft_sign"],
        pytorch: "Softsign",
        jax: "soft_sign",
        keras: "softsign",
        onnx: "Softsign",
        source: "Turian, Bergstra and Bengio 2009",
        ..of("softsign", "x / (1 + abs(x))")
    },
    Meta {
        jax: "sparse_plus",
        keras: "sparse_plus",
        source: "Blondel, Martins and Niculae 2020, arXiv:1901.02324",
        ..of("sparse_plus", "where(x >= 1, x, where(x > -1, (x + 1)^2 / 4, 0))")
    },
    Meta {
        jax: "sparse_sigmoid",
        keras: "sparse_sigmoid",
        source: "Blondel, Martins and Niculae 2020, arXiv:1901.02324",
        ..of("sparse_sigmoid", "where(x >= 1, 1, where(x <= -1, 0, x / 2 + 1/2))")
    },
    Meta {
        aliases: &["relu2", "relu_squared"],
        source: "So, Manke, Liu, Dai, Shazeer and Le 2021, arXiv:2109.08668",
        use_when: "large language models with sparse units",
        ..of("squared_relu", "max(x, 0)^2")
    },
    Meta {
        jax: "squareplus",
        keras: "squareplus",
        source: "Barron 2021, arXiv:2112.11687",
        ..of("squareplus", "(x + sqrt(x^2 + b)) / 2; b = 4 in [0.000001, 1000000]")
    },
    Meta {
        aliases: &["s_shaped_relu"],
        source: "Jin, Xu, Feng, Wei, Xiong and Yan 2015, arXiv:1512.07030",
        ..of(
            "srelu",
            "where(x > tr, tr + ar * (x - tr), where(x > tl, x, tl + al * (x - tl))); tl = 0, al = 0.2, tr = 1, ar = 1",
        )
    },
    Meta {
        source: "Yu and others 2022, arXiv:2210.13452",
        use_when: "in place of gelu: mean and variance of the result are those of its input",
        ..of("star_relu", "s * max(x, 0)^2 + b; s = 0.8944, b = -0.4472")
    },
    Meta {
        aliases: &["heaviside", "binary_step"],
        source: "McCulloch and Pitts 1943",
        avoid_when: "a gradient is needed: its slope is 0",
        ..of("step", "where(x > 0, 1, 0)")
    },
    Meta {
        aliases: &["telu"],
        source: "Liu and Di 2020, arXiv:2003.09855; Fernandez and Mali 2024, arXiv:2412.20269",
        ..of("tanhexp", "x * tanh(exp(x))")
    },
    Meta {
        aliases: &["tanh_shrink"],
        pytorch: "Tanhshrink",
        keras: "tanh_shrink",
        ..of("tanhshrink", "x - tanh(x)")
    },
    Meta {
        pytorch: "Threshold",
        keras: "threshold",
        ..of("threshold", "where(x > threshold, x, value); threshold = 0, value = 0")
    },
    Meta {
        onnx: "ThresholdedRelu",
        source: "Konda, Memisevic and Krueger 2014, arXiv:1402.3337",
        ..of("thresholded_relu", "where(x > alpha, x, 0); alpha = 1")
    },
    Meta {
        source: "2024, arXiv:2405.20768",
        ..of("xatlu", "x * ((1 + 2 * a) * (atan(x) / pi + 1/2) - a); a = 0")
    },
    Meta {
        source: "2024, arXiv:2405.20768",
        ..of("xgelu", "x * ((1 + 2 * a) * normal_cdf(x) - a); a = 0")
    },
    Meta {
        source: "2024, arXiv:2411.13010",
        use_when: "language models without gates",
        ..of(
            "xielu",
            "where(x > 0, ap * x^2 + beta * x, an * (expm1(x) - x) + beta * x); ap = 0.8, an = 0.8, beta = 0.5",
        )
    },
    Meta {
        source: "2024, arXiv:2405.20768",
        ..of("xsilu", "x * ((1 + 2 * a) * sigmoid(x) - a); a = 0")
    },
];

/// Gated functions, sorted by name. The first operand is the gate.
pub(crate) static GATED: &[Meta] = &[
    Meta { source: "2024, arXiv:2406.05955", ..of("drelu", "max(a, 0) * max(b, 0)") },
    Meta { aliases: &["geglu_quickgelu"], ..of("geglu_quick", "a * sigmoid(1.702 * a) * b") },
    Meta {
        source: "Shazeer 2020, arXiv:2002.05202, with the approximation of gelu",
        use_when: "models of the Gemma family",
        ..of("geglu_tanh", "gelu_tanh(a) * b")
    },
    Meta {
        source: "van den Oord and others 2016, arXiv:1609.03499",
        ..of("gtu", "sigmoid(a) * tanh(b)")
    },
    of("sreglu", "max(a, 0)^2 * b"),
];
