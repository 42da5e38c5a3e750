"""Texts of crypto."""

from psc.texts._text import Text

_BUG_EN = "This is a bug in the calling code; please report it."
_BUG_ZH = "这是调用代码的缺陷，请报告。"
_PEER_EN = "The run was ended; ask the partner which software and version it runs."
_PEER_ZH = "本次运行已结束；请向对方确认其软件及版本。"

TEXTS: dict[str, Text] = {
    "crypto.invalid-element": Text(
        en="The partner sent a group element that is refused (position {index}: {reason}).",
        zh="对方发送的群元素被拒绝（位置 {index}：{reason}）。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.points-length": Text(
        en="A batch of group elements has {length_bytes} bytes, which is not a multiple of {unit_bytes}.",
        zh="一批群元素共 {length_bytes} 字节，不是 {unit_bytes} 的整数倍。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.entries-length": Text(
        en="A batch of sealed rows has {length_bytes} bytes, which is not a multiple of {unit_bytes}.",
        zh="一批密封行共 {length_bytes} 字节，不是 {unit_bytes} 的整数倍。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.row-does-not-open": Text(
        en="Sealed row {index} was found but does not open: it was changed, or it was sealed under another key.",
        zh="已找到密封行 {index}，但无法打开：内容被改动，或使用了另一密钥密封。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.scalar-not-canonical": Text(
        en="The bytes are not a canonical nonzero scalar of ristretto255.",
        zh="这些字节不是 ristretto255 的规范非零标量。",
        fix_en="Pass 32 bytes, little-endian, between 1 and the group order minus 1.",
        fix_zh="请传入 32 字节（小端序），数值在 1 与群阶减 1 之间。",
    ),
    "crypto.item-too-long": Text(
        en="Key number {index} (counted from 0) takes {length_bytes} bytes; at most {limit_bytes} are allowed.",
        zh="第 {index} 个键（从 0 起数）占 {length_bytes} 字节，最多允许 {limit_bytes} 字节。",
        fix_en="Use a shorter key column, or fewer columns in one composite key.",
        fix_zh="请使用更短的键列，或减少组合键的列数。",
    ),
    "crypto.no-randomness": Text(
        en="The operating system gave no random bytes.",
        zh="操作系统未能提供随机字节。",
        fix_en="Check that /dev/urandom and the getrandom system call are usable in this container, then start again.",
        fix_zh="请检查此容器内 /dev/urandom 与 getrandom 系统调用是否可用，然后重新启动。",
    ),
    "crypto.context-length": Text(
        en="The context has {length_bytes} bytes; it must have {minimum} to {maximum}.",
        zh="上下文为 {length_bytes} 字节，应为 {minimum} 至 {maximum} 字节。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.not-multiple": Text(
        en="{what}: {length_bytes} bytes are not a multiple of {unit_bytes}.",
        zh="{what}：{length_bytes} 字节不是 {unit_bytes} 的整数倍。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.count-mismatch": Text(
        en="{what}: {count} were given where {expected} are needed.",
        zh="{what}：给出 {count} 个，需要 {expected} 个。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.out-of-range": Text(
        en="{what}: {value} is not within {minimum} to {maximum}.",
        zh="{what}：{value} 不在 {minimum} 至 {maximum} 之间。",
        fix_en="Pass a value within the range.",
        fix_zh="请传入范围内的值。",
    ),
    "crypto.no-such-position": Text(
        en="{what}: there is no position {index} in a batch of {count}.",
        zh="{what}：共 {count} 项的批次中没有位置 {index}。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.bad-offsets": Text(
        en="{what}: number {index} is out of order or past the end of the data.",
        zh="{what}：第 {index} 个偏移次序错误或超出数据末尾。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.wrong-type": Text(
        en="{what}: elements are {given}, not {wanted}.",
        zh="{what}：元素类型为 {given}，应为 {wanted}。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.row-counters": Text(
        en="Row {row} (counted from 0): the rows of one key must be numbered 1, 2, 3, … without gap or repetition.",
        zh="第 {row} 行（从 0 起数）：同一键的各行必须依次编号 1、2、3……，不得跳号或重复。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.out-of-memory": Text(
        en="A result of {length_bytes} bytes does not fit into memory.",
        zh="{length_bytes} 字节的结果超出可用内存。",
        fix_en="Use fewer or narrower rows, or a machine with more memory.",
        fix_zh="请减少行数或行宽，或使用内存更大的机器。",
    ),
    "crypto.noise-scale": Text(
        en="Noise with the {what:=scale scale|variance variance} {numerator}/{denominator} is not supported.",
        zh="不支持{what:=scale 尺度|variance 方差}为 {numerator}/{denominator} 的噪声。",
        fix_en="Raise the noise budget, or declare a narrower range of values or fewer rows per key.",
        fix_zh="请提高噪声预算，或声明更窄的取值范围、更少的每键行数。",
    ),
    "crypto.polynomial-length": Text(
        en="Encrypted sums, {what}: {length_bytes} bytes came where {expected_bytes} belong.",
        zh="加密求和，{what}：收到 {length_bytes} 字节，应为 {expected_bytes} 字节。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.residue-not-canonical": Text(
        en="Encrypted sums, {what}: coefficient {position} is not reduced modulo prime number {prime} (counted from 0).",
        zh="加密求和，{what}：第 {position} 个系数未按第 {prime} 个素数约化（从 0 起数）。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.ciphertext-count": Text(
        en="Encrypted sums: {count} ciphertexts came where {expected} belong.",
        zh="加密求和：收到 {count} 个密文，应为 {expected} 个。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.sum-too-large": Text(
        en="Encrypted sums over {positions} values with weights up to {weight} could be inexact, or show more than the sum.",
        zh="对 {positions} 个值（权重至多 {weight}）的加密求和可能不精确，或泄露和以外的信息。",
        fix_en="Use fewer values or smaller weights in one run.",
        fix_zh="请减少单次运行的值数或减小权重。",
    ),
    "crypto.too-many-releases": Text(
        en="{count} sums were asked of one key set; at most {limit} are released.",
        zh="对同一组密钥请求了 {count} 个求和结果；最多释放 {limit} 个。",
        fix_en="Use further key sets for further sums.",
        fix_zh="更多的求和请使用更多组密钥。",
    ),
    "crypto.used-up": Text(
        en="The {what:=keys keys|sums sums} of an encrypted sum were used already; they serve once.",
        zh="加密求和的{what:=keys 密钥|sums 累加值}已被使用；只能使用一次。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.unknown-backend": Text(
        en="PSC_BACKEND names {name}, which does not exist or cannot run on this machine.",
        zh="PSC_BACKEND 指定的 {name} 不存在，或无法在本机运行。",
        fix_en="Unset PSC_BACKEND, or set it to auto or portable.",
        fix_zh="请取消设置 PSC_BACKEND，或设为 auto 或 portable。",
    ),
    "crypto.bad-threads": Text(
        en="PSC_THREADS is {value}, which is not a usable number of threads.",
        zh="PSC_THREADS 为 {value}，不是可用的线程数。",
        fix_en="Unset PSC_THREADS, or set it to a number from 1 to 1024.",
        fix_zh="请取消设置 PSC_THREADS，或设为 1 至 1024 之间的数。",
    ),
    "crypto.message-length": Text(
        en="The partner's message ({what}) has {length_bytes} bytes instead of {expected_bytes}.",
        zh="对方的消息（{what}）长度为 {length_bytes} 字节，应为 {expected_bytes} 字节。",
        fix_en="Nothing was released. Ask the partner which version of psc it runs.",
        fix_zh="未输出任何结果。请询问对方使用的 psc 版本。",
    ),
    "crypto.not-sorted": Text(
        en="The partner's message is not sorted ({what}, position {index}).",
        zh="对方的消息未按序排列（{what}，位置 {index}）。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "crypto.keys-not-encoded": Text(
        en="The keys could not be encoded: an event with a probability below 2^-50. Nothing was sent that depends on them.",
        zh="键无法编码（概率低于 2^-50 的事件）。尚未发送任何与键有关的内容。",
        fix_en="Start a new run; it is charged as one. If this happens twice, report it: it would be a bug.",
        fix_zh="请重新发起一次运行（按一次计费）。若再次出现，请报告：这可能是缺陷。",
    ),
    "crypto.equal-keys": Text(
        en="Two keys are equal where distinct ones are needed.",
        zh="存在两个相同的键，而此处要求互不相同。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "crypto.inconsistent": Text(
        en="The partner's messages fail a consistency check ({what}): it deviates from the protocol, or they were altered.",
        zh="对方的消息未通过一致性检查（{what}）：对方未按约定的步骤执行，或消息被篡改。",
        fix_en="Nothing was released. Do not repeat the run before the partner has explained it.",
        fix_zh="未输出任何结果。在对方作出解释之前请勿重试。",
    ),
    "crypto.out-of-order": Text(
        en="A step of the protocol does not come next: {what}.",
        zh="步骤次序有误：{what}。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
}
