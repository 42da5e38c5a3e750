"""Texts of plans, leakage statements and runs."""

from psc.texts._text import Text

TEXTS: dict[str, Text] = {
    "leakage.match.receiver": Text(
        "{initiator} learns which of its own keys {responder} also has, and nothing about any other key.",
        "{initiator} 得知自己的哪些键 {responder} 也有；对其他键一无所知。",
    ),
    "leakage.match.lying": Text(
        "Keys that {initiator} puts into its table without holding them rightfully are answered too; quotas bound how many.",
        "{initiator} 放入表中却并非合法持有的键同样会得到回答；配额限制其数量。",
    ),
    "leakage.match.cheating": Text(
        "If {responder} departs from the protocol it can falsify the result, or make a run fail depending on {initiator}'s "
        "keys; a failed run is on record on both sides.",
        "若 {responder} 偏离密码协议，可篡改结果，或使运行是否失败取决于 {initiator} 的键；失败的运行双方均有记录。",
    ),
    "leakage.match.columns": Text(
        "For these keys {initiator} also learns {responder}'s columns {columns}, at most {rows} rows a key, and whether "
        "there are more.",
        "对这些键，{initiator} 还得知 {responder} 的列 {columns}，每键最多 {rows} 行，以及是否还有更多行。",
    ),
    "leakage.match.sizes": Text(
        "Each learns the other's number of distinct keys, rounded up to a public series: {initiator} {initiator_size}, "
        "{responder} {responder_size}.",
        "双方得知对方不同键的个数（向上取整到公开序列）：{initiator} {initiator_size}，{responder} {responder_size}。",
    ),
    "leakage.match.shards": Text(
        "The sets are split at random into {shards} parts, all padded to {initiator_shard} keys of {initiator} and "
        "{responder_shard} of {responder}: this says no more than the sizes above.",
        "两个集合随机分为 {shards} 片，每片补足为 {initiator} 的 {initiator_shard} 个键和 {responder} 的 {responder_shard} 个键；"
        "除上述规模外不透露其他信息。",
    ),
    "leakage.match.resumed": Text(
        "The run goes on after {finished_shards} of {shards} parts that an earlier attempt finished. Whoever departs from the "
        "protocol may use other keys in the parts that are done now; {initiator}'s are charged again.",
        "本次运行接续此前已完成的 {finished_shards}/{shards} 片。偏离密码协议的一方可在现在计算的各片中使用其他键；"
        "{initiator} 的键会再次计入配额。",
    ),
    "leakage.match.sender": Text(
        "{responder} learns nothing about {initiator}'s keys, nor about the result.",
        "{responder} 对 {initiator} 的键和结果一无所知。",
    ),
    "leakage.match.both": Text(
        "{responder} learns which of its own keys {initiator} also has, or only that fewer than the agreed minimum match.",
        "{responder} 得知自己的哪些键 {initiator} 也有，或仅得知匹配数低于约定最小值。",
    ),
    "leakage.match.receiver-second": Text(
        "{initiator} learns which of its own keys {responder} also has, or only that fewer than the agreed minimum match; it "
        "learns this from {responder}.",
        "{initiator} 从 {responder} 得知自己的哪些键 {responder} 也有，或仅得知匹配数低于约定最小值。",
    ),
    "leakage.match.both-first": Text(
        "{responder} learns which of its own keys {initiator} also has, and nothing about any other key; it learns this first.",
        "{responder} 先得知自己的哪些键 {initiator} 也有；对其他键一无所知。",
    ),
    "leakage.match.cheating-initiator": Text(
        "If {initiator} departs from the protocol it can falsify the result, or make a run fail depending on {responder}'s "
        "keys, and may learn something of these; a failed run is on record on both sides.",
        "若 {initiator} 偏离密码协议，可篡改结果，或使运行是否失败取决于 {responder} 的键，"
        "并可能得知其中某些信息；失败的运行双方均有记录。",
    ),
    "leakage.match.lying-responder": Text(
        "Keys that {responder} puts into its table without holding them rightfully are answered too, at most as many as its size "
        "below says.",
        "{responder} 放入表中却并非合法持有的键同样会得到回答；其数量不超过下述规模。",
    ),
    "leakage.match.falsified": Text(
        "{responder} tells {initiator} the result: if it departs from the protocol it can tell another one, or none.",
        "结果由 {responder} 告知 {initiator}：若其偏离密码协议，可告知其他结果或不告知。",
    ),
    "leakage.match.any.receiver": Text(
        "{initiator} learns for each alternative key ({alternatives}) which of its own keys {responder} also has, so by which of "
        "them its rows match, also where the result shows another; and nothing about any other key.",
        "{initiator} 得知每个备选键（{alternatives}）中自己的哪些键 {responder} 也有，从而得知其各行可按哪些键匹配"
        "（包括结果未显示的键）；对其他键一无所知。",
    ),
    "leakage.match.any.both": Text(
        "{responder} learns for each alternative key ({alternatives}) which of its own keys {initiator} also has, or only that "
        "fewer than the agreed minimum match by it.",
        "{responder} 得知每个备选键（{alternatives}）中自己的哪些键 {initiator} 也有，或仅得知按该键的匹配数低于约定最小值。",
    ),
    "leakage.match.any.receiver-second": Text(
        "{initiator} learns for each alternative key ({alternatives}) which of its own keys {responder} also has, or only that "
        "fewer than the agreed minimum match by it; it learns this from {responder}.",
        "{initiator} 从 {responder} 得知每个备选键（{alternatives}）中自己的哪些键 {responder} 也有，"
        "或仅得知按该键的匹配数低于约定最小值。",
    ),
    "leakage.match.any.both-first": Text(
        "{responder} learns for each alternative key ({alternatives}) which of its own keys {initiator} also has, and nothing "
        "about any other key; it learns this first.",
        "{responder} 先得知每个备选键（{alternatives}）中自己的哪些键 {initiator} 也有；对其他键一无所知。",
    ),
    "leakage.match.any.sizes": Text(
        "Each learns the other's number of distinct keys by each alternative, rounded up to a public series ({initiator} / "
        "{responder}): {alternative_sizes}.",
        "双方得知对方每个备选键中不同键的个数（向上取整到公开序列；{initiator} / {responder}）：{alternative_sizes}。",
    ),
    "leakage.match.any.shards": Text(
        "Large sets are split at random into parts, all padded to the same sizes (parts × {initiator} / {responder}): "
        "{alternative_shards}: this says no more than the sizes above.",
        "较大的集合随机分片，各片补足为相同规模（片数 × {initiator} / {responder}）：{alternative_shards}；"
        "除上述规模外不透露其他信息。",
    ),
    "leakage.match.any.malicious": Text(
        "If {initiator} departs from the protocol it learns for each alternative which of about so many keys {responder} also "
        "has, the most that its tables have room for: {table_size}.",
        "若 {initiator} 偏离密码协议，可得知各备选键中约若干个键（其表格所能容纳的上限）里 {responder} 也有哪些：{table_size}。",
    ),
    "leakage.match.any.theorem": Text(
        "What holds of a party that departs from the protocol holds for each alternative by itself; no theorem covers them "
        "together.",
        "关于偏离密码协议一方的结论对每个备选键分别成立；没有定理涵盖各备选键合在一起的情形。",
    ),
    "leakage.count.receiver": Text(
        "{initiator} learns how many keys both have, and not which.",
        "{initiator} 得知双方共有多少个键，但不知道是哪些。",
    ),
    "leakage.count.cheating": Text(
        "If {initiator} departs from the protocol it can learn which of its keys {responder} has; quotas bound how many.",
        "若 {initiator} 偏离密码协议，可得知自己的哪些键 {responder} 也有；配额限制其数量。",
    ),
    "leakage.count.sender": Text(
        "{responder} learns nothing about {initiator}'s keys, nor the number.",
        "{responder} 对 {initiator} 的键和该数目一无所知。",
    ),
    "leakage.count.both": Text(
        "{responder} learns how many keys both have, as {initiator} reports it, or only that it is below the agreed minimum.",
        "{responder} 得知 {initiator} 报告的共同键数，或仅得知其低于约定最小值。",
    ),
    "leakage.aggregate.noise": Text(
        "Numbers carry noise: {noise} a run, over all of its numbers; runs add up, and their daily number bounds what they can "
        "average out.",
        "数值带有噪声：每次运行的预算为 {noise}，由其全部数值共用；多次运行会累加，每日运行次数限制了求平均所能消除的噪声。",
    ),
    "leakage.sum.receiver": Text(
        "{initiator} learns the results, how many keys both have in each cell of the table (in withheld cells too; its own "
        "node does not show those) and the names of {responder}'s groups, and not which keys both have.",
        "{initiator} 得知结果、表中每个单元格内双方共有多少个键（包括不予显示的单元格，其节点不会显示这些数目）以及 "
        "{responder} 各组的名称，但不知道共有的是哪些键。",
    ),
    "leakage.sum.counts": Text(
        "{initiator} learns how many keys both have in each cell of the table, and not which, and which of {responder}'s groups "
        "have a label in common, without the labels; it does not learn the sums.",
        "{initiator} 得知表中每个单元格内双方共有多少个键，但不知道是哪些，并得知 {responder} 的哪些组含有相同的标签"
        "（不知道标签本身）；不会得知总和。",
    ),
    "leakage.sum.cheating": Text(
        "If {initiator} departs from the protocol it can learn which of its keys {responder} has, and the sum over any such "
        "keys that it chooses, one for each result that it asks for; minimum sizes and noise do not bind it then. Quotas "
        "bound how often.",
        "若 {initiator} 偏离密码协议，可得知自己的哪些键 {responder} 也有，并就其所要求的每个结果得到任选键的总和；"
        "此时最小规模和噪声的限制对其无效。配额限制其次数。",
    ),
    "leakage.sum.sender": Text(
        "{responder} learns nothing about {initiator}'s keys, nor about the results.",
        "{responder} 对 {initiator} 的键和结果一无所知。",
    ),
    "leakage.sum.responder": Text(
        "{responder} learns the results and how many keys both have in each cell that is not withheld, as {initiator} reports "
        "them, and the names of {initiator}'s groups; not which keys both have.",
        "{responder} 得知结果、{initiator} 报告的每个未隐去单元格内的共同键数以及 {initiator} 各组的名称；不知道共有的是哪些键。",
    ),
    "leakage.sum.falsify": Text(
        "If {responder} departs from the protocol it can falsify the results, and learns nothing by it.",
        "若 {responder} 偏离密码协议，可篡改结果，但不会因此得知任何信息。",
    ),
    "leakage.sum.planting": Text(
        "If {responder} departs from the protocol it can falsify the results, and by choosing its values it can read from each "
        "sum which of some of its keys {initiator} has, as many keys as the sum has bits.",
        "若 {responder} 偏离密码协议，可篡改结果；通过选取数值，还可从每个总和中读出自己的部分键 {initiator} 是否也有，"
        "键数不超过该总和的位数。",
    ),
    "leakage.sum.sizes": Text(
        "Each learns the other's number of groups and of distinct keys in each, rounded up to a public series; together "
        "{initiator} {initiator_size}, {responder} {responder_size}.",
        "双方得知对方的组数及各组不同键的个数（向上取整到公开序列）；合计 {initiator} {initiator_size}，"
        "{responder} {responder_size}。",
    ),
    "leakage.owner-sum.receiver": Text(
        "{initiator} learns the results and how many keys both have in each cell of the table, as {responder} releases them "
        "(withheld cells are not sent), and the names of {responder}'s groups; not which keys both have.",
        "{initiator} 得知 {responder} 提供的结果和表中每个单元格内的共同键数（隐去的单元格不会发送）以及 {responder} "
        "各组的名称；不知道共有的是哪些键。",
    ),
    "leakage.owner-sum.nothing": Text(
        "{initiator} learns nothing about {responder}'s keys, nor about the results.",
        "{initiator} 对 {responder} 的键和结果一无所知。",
    ),
    "leakage.owner-sum.lying": Text(
        "Keys, groups and weights that {initiator} makes up are counted too, so it can single out customers as far as "
        "{responder}'s minimum sizes and noise allow (weights get around minimum sizes, and only noise hides a customer "
        "then); it can also make a run fail depending on {responder}'s keys, and a "
        "failed run is on record on both sides.",
        "{initiator} 编造的键、分组和权重同样会计入，因此在 {responder} 的最小规模和噪声允许的范围内可针对个别客户"
        "（使用权重时最小规模无法阻止，只有噪声能掩盖）；"
        "还可使运行是否失败取决于 {responder} 的键，失败的运行双方均有记录。",
    ),
    "leakage.owner-sum.sender": Text(
        "{responder} learns which of its own keys {initiator} also has and, for each of these, the number of its group and its "
        "weights at {initiator}; and how {initiator}'s groups are made of its group columns: which have a label in common, "
        "without the labels.",
        "{responder} 得知自己的哪些键 {initiator} 也有，以及这些键各自在 {initiator} 处的组号和权重；"
        "还得知 {initiator} 的各组如何由其分组列构成，即哪些组含有相同的标签（不知道标签本身）。",
    ),
    "leakage.owner-sum.weights": Text(
        "{responder} learns of each of {initiator}'s weight columns ({weights}) its decimals and the greatest weight of any of "
        "{initiator}'s keys to a factor of two, also of keys that {responder} does not have.",
        "{responder} 得知 {initiator} 的每个权重列（{weights}）的小数位数，以及其所有键中最大权重的量级（误差在两倍以内），"
        "包括 {responder} 没有的键。",
    ),
    "leakage.owner-sum.responder": Text(
        "{responder} learns which of its own keys {initiator} also has, for each of these its group and its weights at "
        "{initiator}, the names of {initiator}'s groups, and the results.",
        "{responder} 得知自己的哪些键 {initiator} 也有、这些键各自在 {initiator} 处的分组和权重、{initiator} 各组的名称"
        "以及结果。",
    ),
    "leakage.owner-sum.sizes": Text(
        "Each learns the other's number of groups and its number of distinct keys, rounded up to a public series: {initiator} "
        "{initiator_size}, {responder} {responder_size}.",
        "双方得知对方的组数及不同键的个数（向上取整到公开序列）：{initiator} {initiator_size}，{responder} {responder_size}。",
    ),
    "leakage.owner-sum.falsify": Text(
        "If {responder} departs from the protocol it can falsify the results, leave out minimum sizes and noise, and have keys "
        "answered that it does not hold rightfully; quotas bound how many.",
        "若 {responder} 偏离密码协议，可篡改结果、不执行最小规模和噪声，并使并非合法持有的键得到回答；配额限制其数量。",
    ),
    "leakage.vole-sum.receiver": Text(
        "{initiator} learns which of its own keys {responder} also has and of each of these {responder}'s group, hence how many "
        "keys both have in each cell of the table, also in withheld ones; the results; and the names of {responder}'s groups.",
        "{initiator} 得知自己的哪些键 {responder} 也有、这些键各自在 {responder} 处的分组，从而得知表中每个单元格（包括隐去的）"
        "内的共同键数；以及结果和 {responder} 各组的名称。",
    ),
    "leakage.vole-sum.members": Text(
        "{initiator} learns which of its own keys {responder} also has and of each of these the number of {responder}'s group, "
        "hence how many keys both have in each cell of the table; it does not learn the sums.",
        "{initiator} 得知自己的哪些键 {responder} 也有、这些键各自在 {responder} 处的组号，从而得知表中每个单元格内的共同键数；"
        "不会得知总和。",
    ),
    "leakage.vole-sum.cheating": Text(
        "If {initiator} departs from the protocol it can learn which of about {table_size} keys {responder} also has, and the "
        "sum over any keys of {responder} that it chooses, with any weights, one for each result that it asks for: a single "
        "customer's value, too. Minimum sizes do not bind it then. Quotas bound how often.",
        "若 {initiator} 偏离密码协议，可得知约 {table_size} 个键中 {responder} 也有哪些，并就其所要求的每个结果得到 {responder} "
        "任选键、任选权重的总和，包括单个客户的数值；此时最小规模的限制对其无效。配额限制其次数。",
    ),
    "leakage.vole-sum.sender": Text(
        "{responder} learns nothing about {initiator}'s keys, groups and weights but their number, nor about the results.",
        "{responder} 除数量外对 {initiator} 的键、分组和权重一无所知，也不会得知结果。",
    ),
    "leakage.vole-sum.responder": Text(
        "{responder} learns the results and how many keys both have in each cell that is not withheld, as {initiator} reports "
        "them, and the names of {initiator}'s groups; not which keys both have.",
        "{responder} 得知结果、{initiator} 报告的每个未隐去单元格内的共同键数以及 {initiator} 各组的名称；不知道共有的是哪些键。",
    ),
    "leakage.vole-sum.falsify": Text(
        "If {responder} departs from the protocol it can falsify the results, and learns nothing by it.",
        "若 {responder} 偏离密码协议，可篡改结果，但不会因此得知任何信息。",
    ),
    "leakage.vole-sum.planting": Text(
        "If {responder} departs from the protocol it can falsify the results, and by choosing its values it can read from each "
        "sum which of some of its keys {initiator} has, as many keys as the sum has bits.",
        "若 {responder} 偏离密码协议，可篡改结果；通过选取数值，还可从每个总和中读出自己的部分键 {initiator} 是否也有，"
        "键数不超过该总和的位数。",
    ),
    "leakage.vole-sum.sizes": Text(
        "Each learns the other's number of groups and of distinct keys, rounded up to a public series: {initiator} "
        "{initiator_size}, {responder} {responder_size}; {initiator} learns the size of each of {responder}'s groups.",
        "双方得知对方的组数及不同键的个数（向上取整到公开序列）：{initiator} {initiator_size}，{responder} {responder_size}；"
        "{initiator} 还得知 {responder} 每一组的规模。",
    ),
    "operations.plan-head": Text(
        "Plan: {operation} with {partner}/{dataset}, purpose {purpose}",
        "计划：与 {partner}/{dataset} 进行 {operation}，用途 {purpose}",
    ),
    "operations.plan-refused": Text("REFUSED by rule {rule}", "被规则 {rule} 拒绝"),
    "operations.plan-initiator": Text("What this side learns:", "本方得知："),
    "operations.plan-responder": Text("What {partner} learns:", "{partner} 得知："),
    "operations.plan-figures": Text(
        "Protocol {protocol} ({model}); {rows} rows, {keys} distinct keys; sends {sent} MB, receives {received} MB, about "
        "{seconds} s; runs left today: {left}; results of fewer than {minimum} common keys are not shown.",
        "密码协议 {protocol}（{model:=semi-honest 半诚实模型|malicious 恶意模型}）；{rows} 行，{keys} 个不同键；"
        "发送 {sent} MB，接收 {received} MB，约 {seconds} 秒；"
        "今日剩余次数：{left}；共同键少于 {minimum} 个的结果不予显示。",
    ),
    "operations.plan-bad-cells": Text(
        "Rows with a bad key cell, or without any key: {counts}.",
        "键单元格不合格或没有任何键的行：{counts}。",
    ),
    "operations.plan-alternative": Text(
        "By {key}: {own_keys} distinct keys, {own_size} with padding; {rows_without} rows have none; {partner} {partner_size}.",
        "按 {key}：{own_keys} 个不同键，填充后 {own_size} 个；{rows_without} 行没有该键；{partner} {partner_size} 个。",
    ),
    "operations.any-of-count": Text(
        "A match by any of several keys has 2 to {limit} of them, not {count}.",
        "按多个备选键匹配时应有 2 至 {limit} 个键，而非 {count} 个。",
        "Name the {limit} that match best, --key and --or-key together; in Python one key is on='phone', without any_of.",
        "请只保留最合适的 {limit} 个（--key 与 --or-key 合计）；在 Python 中单个键直接写 on='phone'，不用 any_of。",
    ),
    "operations.any-of-key": Text(
        "Key {number} of any_of names no column.",
        "any_of 的第 {number} 个键没有指定列。",
        "Write each as 'phone', ['name', 'zip'] or {{'phone': 'mobile'}}.",
        "每个键请写作 'phone'、['name', 'zip'] 或 {{'phone': 'mobile'}}。",
    ),
    "operations.any-of-twice": Text(
        "Two of the alternative keys are {key}.",
        "备选键中 {key} 出现两次。",
        "Name each key of the dataset once; own columns that hold the same kind of key can be joined into one before.",
        "数据集的每个键只写一次；本方若有多个同类的列，请事先合并为一列。",
    ),
    "operations.any-of-match-only": Text(
        "{operation} takes one key, not alternatives.",
        "{operation} 只接受一个键，不接受备选键。",
        "Ask by one key, or use match.",
        "请按一个键提出请求，或使用 match。",
    ),
    "leakage.match.malicious": Text(
        "If {initiator} departs from the protocol it learns which of about {table_size} keys {responder} also has, in place of "
        "its {initiator_size}: the most that its table has room for.",
        "若 {initiator} 偏离密码协议，可得知约 {table_size} 个键（其表格所能容纳的上限）中 {responder} 也有哪些，"
        "而非其 {initiator_size} 个。",
    ),
    "leakage.match.withstood": Text(
        "If {responder} departs from the protocol it can at most have other keys than it says, or end the run; a failed run is "
        "on record on both sides.",
        "若 {responder} 偏离密码协议，最多只能使用与其声称不同的键，或终止运行；失败的运行双方均有记录。",
    ),
    "operations.plan-protocol": Text(
        "{protocol} rather than {other}: about {seconds} s against {other_seconds} s on this link.",
        "选用 {protocol} 而非 {other}：在此链路上约 {seconds} 秒，后者约 {other_seconds} 秒。",
    ),
    "operations.plan-exchanged": Text("{protocol} with us as its sender", "{protocol}（本方为其发送方）"),
    "operations.plan-resumes": Text(
        "Goes on with run {run_id} of {began}, of which {finished} of {shards} parts are kept; if the partner kept "
        "fewer or none, the others are computed again.",
        "接续 {began} 的运行 {run_id}：已保留 {finished}/{shards} 片；对方保留较少或未保留时，其余重新计算。",
    ),
    "operations.plan-kept-damaged": Text(
        "The kept part {file} was changed or damaged: it is computed again, and those after it.",
        "保留的分片 {file} 被改动或已损坏：该片及其后各片将重新计算。",
    ),
    "operations.no-such-protocol": Text(
        "There is no protocol {protocol} with model {model} for a match.",
        "匹配没有密码协议 {protocol} 与{model:=semi-honest 半诚实|malicious 恶意|auto 自动}模型的组合。",
        "protocol is auto, dh-psi or vole-psi; model is auto, semi-honest or malicious.",
        "protocol 为 auto、dh-psi 或 vole-psi；model 为 auto、semi-honest 或 malicious。",
    ),
    "operations.model-needs-vole-psi": Text(
        "dh-psi withstands a semi-honest partner only.",
        "dh-psi 只能抵御半诚实的对方。",
        "Leave --protocol auto, or take --protocol vole-psi.",
        "请保留 --protocol auto，或使用 --protocol vole-psi。",
    ),
    "operations.plan-aggregate-hidden": Text(
        "Computes {outputs}; groups: {groups} (at most {cells} cells); nobody learns which customers match; groups of fewer than "
        "{minimum} customers are withheld by this node; noise: {noise:|none}.",
        "计算 {outputs}；分组：{groups}（最多 {cells} 个单元格）；双方均不知道哪些客户匹配；"
        "客户少于 {minimum} 个的组由本节点隐去；噪声：{noise:|无}。",
    ),
    "operations.plan-aggregate-owner": Text(
        "Computes {outputs}; groups: {groups} (at most {cells} cells); the partner learns which of its customers match; groups "
        "of fewer than {minimum} customers are withheld by the partner; noise: {noise:|none}.",
        "计算 {outputs}；分组：{groups}（最多 {cells} 个单元格）；对方得知其哪些客户匹配；"
        "客户少于 {minimum} 个的组由对方隐去；噪声：{noise:|无}。",
    ),
    "operations.plan-aggregate-matcher": Text(
        "Computes {outputs}; groups: {groups} (at most {cells} cells); this side learns which of its customers match; groups of "
        "fewer than {minimum} customers are withheld by this node; noise: {noise:|none}.",
        "计算 {outputs}；分组：{groups}（最多 {cells} 个单元格）；本方得知己方哪些客户匹配；"
        "客户少于 {minimum} 个的组由本节点隐去；噪声：{noise:|无}。",
    ),
    "operations.matched-counts-exact": Text(
        "With membership known to the asking side counts cannot be noisy, and {noise} is agreed.",
        "请求方得知成员关系时计数无法加噪声，而约定了 {noise}。",
        "Ask with membership hidden or owner; or agree without noise that the matcher may know membership.",
        "请使用 hidden 或 owner；或在不含噪声的授权协议中约定请求方可得知成员关系。",
    ),
    "operations.plan-rejected": Text("Rows left out: {counts}", "未纳入的行：{counts}"),
    "operations.plan-used": Text(
        "This plan was run before.",
        "该计划已运行过。",
        "Make a new plan: what it shows may have changed.",
        "请重新制定计划，内容可能已变化。",
    ),
    "operations.own-table-changed": Text(
        "{file} changed after the plan was shown.",
        "{file} 在计划显示后发生变化。",
        "Plan again; a run does only what its plan showed.",
        "请重新制定计划；运行只执行计划所示内容。",
    ),
    "operations.cancelled": Text(
        "The run was cancelled.",
        "运行已取消。",
        "Nothing was released; the run stays charged to your quota at the partner.",
        "未提供任何结果；本次运行仍计入您在对方处的配额。",
    ),
    "operations.versions-differ": Text(
        "The two nodes differ in {what}: here {ours}, there {theirs} (partner's software: {software}).",
        "双方的 {what} 不同：本方 {ours}，对方 {theirs}（对方软件：{software}）。",
        "Bring both to the same version of psc and of its number metadata, exchange cards again, then plan again.",
        "请将双方的 psc 及号码元数据升级到相同版本，重新交换名片，然后重新制定计划。",
    ),
    "operations.result-below-own-minimum": Text(
        "Fewer common keys than your own minimum of {min_result}.",
        "共同键少于您自己设定的最小值 {min_result}。",
        "The result is not shown; how many there are stays unsaid. Ask for a lower minimum, or use a larger table.",
        "结果不予显示，也不说明具体数目。请降低最小值，或使用更大的表格。",
    ),
    "operations.set-over-limit": Text(
        "The set has {size} keys; the limit is {limit}.",
        "集合有 {size} 个键，上限为 {limit}。",
        "Raise limits.set_elements in node.toml on both sides, or split the table.",
        "请在双方的 node.toml 中提高 limits.set_elements，或拆分表格。",
    ),
    "operations.size-differs": Text(
        "{partner} now offers {offered} keys where its catalogue said {planned}.",
        "{partner} 现在提供 {offered} 个键，而其目录所示为 {planned} 个。",
        "Nothing was sent; plan again.",
        "未发送任何数据；请重新制定计划。",
    ),
    "operations.transfer-over-limit": Text(
        "The run would move {size} bytes; the limit is {limit}.",
        "本次运行将传输 {size} 字节，上限为 {limit}。",
        "Want fewer or narrower columns, agree on fewer rows a key, or raise limits.transfer_bytes in node.toml on both sides.",
        "请减少列数或列宽、约定每键更少的行，或在双方的 node.toml 中提高 limits.transfer_bytes。",
    ),
    "operations.values-over-limit": Text(
        "The numbers that the run adds up would take {size} bytes of memory; the limit is {limit}.",
        "本次运行待汇总的数值将占用 {size} 字节内存，上限为 {limit}。",
        "Ask for fewer outputs in a run, or raise limits.transfer_bytes in node.toml at the owner of the values.",
        "请减少每次运行的输出项，或由数值所有方在 node.toml 中提高 limits.transfer_bytes。",
    ),
    "operations.hello-not-from-partner": Text(
        "A hello came under an identity that is not the connection's, or was meant for another node.",
        "收到的请求所用身份与连接不符，或并非发给本节点。",
        "Exchange cards again (psc card, psc trust) and retry.",
        "请重新交换名片（psc card、psc trust）后重试。",
    ),
    "operations.hello-other-certificate": Text(
        "The hello of {partner} is bound to another certificate than the connection's.",
        "{partner} 的请求绑定的证书与连接所用证书不同。",
        "Something between the two nodes opens TLS: use a layer-4 gateway, and run psc doctor.",
        "两节点之间有设备解开了 TLS：请使用四层网关，并运行 psc doctor。",
    ),
    "operations.accept-other-hello": Text(
        "The acceptance of {partner} answers another request than ours.",
        "{partner} 的接受回应的是另一个请求。",
        "Nothing was sent; retry, and if it happens again tell the partner.",
        "未发送任何数据；请重试，若再次发生请告知对方。",
    ),
    "operations.partner-without-address": Text(
        "{partner} has no address in its card, so it cannot be dialled.",
        "{partner} 的名片中没有地址，无法拨入。",
        "Serve here (psc serve) and let {partner} run psc serve --via this node; or trust a card of it with an address.",
        "请在本方运行 psc serve，并让 {partner} 运行 psc serve --via 本节点；或信任其带地址的名片。",
    ),
    "operations.catalogue-not-for-us": Text(
        "The catalogue that came is not {partner}'s, or is not for this node.",
        "收到的目录不是 {partner} 的，或不是给本节点的。",
        "Exchange cards again (psc card, psc trust) and retry.",
        "请重新交换名片（psc card、psc trust）后重试。",
    ),
    "operations.select-empty": Text(
        "The aggregate names no output.",
        "聚合未指定任何输出。",
        "Pass select=[psc.count(), psc.sum('COLUMN'), …]; on the command line --select count --select sum:COLUMN.",
        "请传入 select=[psc.count(), psc.sum('列'), …]；命令行为 --select count --select sum:列。",
    ),
    "operations.select-twice": Text(
        "The output {name} is asked twice.",
        "输出 {name} 重复指定。",
        "Name each output once.",
        "每个输出只写一次。",
    ),
    "operations.group-twice": Text(
        "A group column is named twice: {names}.",
        "分组列重复指定：{names}。",
        "Name each group column once.",
        "每个分组列只写一次。",
    ),
    "operations.group-unknown": Text(
        "{name} is neither a group that the partner grants ({theirs:|none}) nor a column of the own table ({own}).",
        "{name} 既不是对方授权的分组（{theirs:|无}），也不是本方表格的列（{own}）。",
        "Group by one of these; own:NAME and theirs:NAME say which side is meant.",
        "请按其中之一分组；own:名称 与 theirs:名称 用于指明哪一方。",
    ),
    "operations.group-not-own": Text(
        "own:{name} names no column of the own table ({own}).",
        "own:{name} 不是本方表格的列（{own}）。",
        "Group by one of these, or write theirs:NAME for a group of the partner.",
        "请按其中之一分组；若指对方的分组，请写 theirs:名称。",
    ),
    "operations.per": Text(
        "per is {per}; it is row or customer.",
        "per 为 {per}；应为 row 或 customer。",
        "Write per='row' for the partner's rows, per='customer' for each customer's total.",
        "按对方的行写 per='row'，按每位客户的合计写 per='customer'。",
    ),
    "operations.edges": Text(
        "The histogram of {column} needs 2 to {limit} numbers as edges, each greater than the one before.",
        "{column} 的直方图需要 2 至 {limit} 个严格递增的数作为边界。",
        "Write for instance edges=[0, 10, 100].",
        "例如写 edges=[0, 10, 100]。",
    ),
    "operations.edge-scale": Text(
        "The edge {edge} has more decimals than the {scale} of {column}, or is far beyond its range.",
        "边界 {edge} 的小数位数多于 {column} 的 {scale} 位，或远超其范围。",
        "Round the edge to the column's decimals, and keep it near the column's range.",
        "请将边界舍入到该列的小数位数，并使其接近该列的范围。",
    ),
    "operations.scale-range": Text(
        "A weight has 0 to 9 decimals, not {scale}.",
        "权重的小数位数为 0 至 9，而非 {scale}。",
        "Scale the column in your table, or round it.",
        "请在表格中缩放该列，或将其舍入。",
    ),
    "operations.weight-scales": Text(
        "A weight column is used with two scales.",
        "同一权重列使用了两种小数位数。",
        "Write the same scale in every weighted sum of a column.",
        "同一列的各个加权和请使用相同的小数位数。",
    ),
    "operations.weights-need-owner": Text(
        "{name} multiplies own values with the partner's, which only a side can do that knows which customers match.",
        "{name} 将本方数值与对方数值相乘，须有一方知道哪些客户匹配才能计算。",
        "Ask with --membership owner, where the partner learns who matches, or --membership matcher, where this side does, if "
        "the agreement allows it.",
        "若授权协议允许，请用 --membership owner（对方得知哪些客户匹配）或 --membership matcher（本方得知）。",
    ),
    "operations.sum-overflows": Text(
        "The sum {statistic} could need {bits} bits over {size} customers; {limit} are there.",
        "对 {size} 位客户求和 {statistic} 最多需要 {bits} 位，可用 {limit} 位。",
        "Nothing was moved. Let the partner declare a narrower range or fewer decimals, or ask for a sum instead of a variance.",
        "未传输任何数据。请让对方声明更窄的范围或更少的小数位，或以求和代替方差。",
    ),
    "operations.weight-too-large": Text(
        "The weights of {name} reach {weight} for one key, in units; below {limit} is possible.",
        "{name} 的权重在单个键上达到 {weight}（以最小单位计），必须小于 {limit}。",
        "Nothing was moved. Use fewer decimals, or scale the column down.",
        "未传输任何数据。请减少小数位数，或缩小该列的数值。",
    ),
    "operations.result-elsewhere": Text(
        "The result of run {run_id} went to the partner alone.",
        "运行 {run_id} 的结果仅交给了对方。",
        "Ask with output_to='receiver' or 'both', if the agreement allows it.",
        "若授权协议允许，请使用 output_to='receiver' 或 'both'。",
    ),
}
