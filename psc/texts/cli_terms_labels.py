"""Labels of values, groups and what an agreement says of aggregates: (English, Chinese) by name, as ``psc.texts.cli_labels``."""

TERMS_LABELS: dict[str, tuple[str, str]] = {
    "terms-values": ("may be aggregated", "可汇总"),
    "terms-groups": ("may be grouped by", "可分组"),
    "value-named": ("value {name}", "数值列 {name}"),
    "group-named": ("group {name}", "分组列 {name}"),
    "value-nulls": (" · {count} without a value", " · {count} 个无值"),
    "value-clipped": (
        " · {count} outside the range, counted as the end of it",
        " · {count} 个超出范围，按范围端点计算",
    ),
    "group-labels": (" · {count} {count:?label|labels}", " · {count} 个标签"),
    "check-value": ("{numbers} {numbers:?number|numbers}, {nulls} without a value", "{numbers} 个数值，{nulls} 个无值"),
    "check-value-span": (", from {least} to {greatest}", "，从 {least} 到 {greatest}"),
    "check-value-outside": ("; {count} outside {range}", "；{count} 个超出 {range}"),
    "check-value-bad": (
        "; {not_numbers} no numbers, {not_whole} with a fraction, {imprecise} imprecise",
        "；{not_numbers} 个不是数字，{not_whole} 个带小数，{imprecise} 个精度丢失",
    ),
    "check-group": ("{groups} {groups:?label|labels}", "{groups} 个标签"),
    "check-group-bad": (
        "; {nulls} {nulls:?row|rows} without a label, {keys} {keys:?key|keys} in two groups",
        "；{nulls} 行无标签，{keys} 个键归入两个分组",
    ),
    "terms-output-responder": ("the owner of the data alone", "仅数据方"),
    "terms-membership": ("shared customers", "共同客户"),
    "terms-membership-hidden": ("hidden from both sides", "对双方隐藏"),
    "terms-membership-owner": (
        "known to the owner of the data, which then sums in the clear",
        "由数据方得知，并由其以明文求和",
    ),
    "terms-membership-matcher": (
        "known to the asking side, which adds up encrypted values",
        "由请求方得知，并由其以密文求和",
    ),
    "terms-engines": ("encryption of values", "数值的加密"),
    "terms-noise": ("noise of a run", "每次运行的噪声"),
    "terms-noise-none": ("none", "无"),
    "terms-noise-laplace": ("discrete Laplace, epsilon {budget}", "离散拉普拉斯，ε = {budget}"),
    "terms-noise-gaussian": ("discrete Gaussian, rho {budget} (zero-concentrated)", "离散高斯，ρ = {budget}（零集中）"),
    "terms-noise-added": (
        "{noise}, added by the owner of the data before numbers leave it",
        "{noise}，由数据方在数据离开前加入",
    ),
    "terms-model": ("model of a match", "匹配的对方模型"),
    "terms-least-group": ("least group", "最小分组"),
    "value-granted": ("{name}: {low} to {high}, {scale} {scale:?decimal|decimals}", "{name}：{low} 至 {high}，{scale} 位小数"),
}
