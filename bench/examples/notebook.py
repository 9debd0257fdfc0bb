# %% [markdown]
# # An analysis of your own
# Run it in the project's folder: cell by cell in an editor that knows `# %%`, or all of it as a script.
# bench/summary/README.md lists the columns of both tables.

# %% One row per cell and metric. `newest` marks the sweep that `bench report` shows.
import bench

table = bench.load()  # bench.load(commit="HEAD") reads the records of one revision
newest = table[table.newest]

# %% Right answers with their 95 % interval, and the size: what does a byte buy?
size_mb = newest[newest.metric == "size_bytes"].set_index("variant")["value"] / 1e6
hr = newest[(newest.metric == "accuracy") & (newest.task == "hr")].set_index("variant")[["value", "low", "high", "n"]]
print(hr.assign(size_mb=size_mb).sort_values("size_mb").round(3))

# %% Are the rounds alike? Where they differ, the machine had slow and quick spells.
raw = bench.samples(commit=newest.commit.iloc[0])
raw = raw.merge(newest[["machine", "tree", "sweep"]].drop_duplicates())  # other sweeps of that commit are left out
requests = raw[raw.kind == "request"]
print(requests.groupby(["variant", "round"])["e2e_ms"].median().unstack("round").round(2))

# %% Which questions does 2-bit quantization lose?
asked = raw[(raw.kind == "question") & (raw.task == "hr")].pivot(index="sample", columns="variant", values="right")
lost = asked.index[asked["finetuned"].eq(True) & asked["finetuned-q2"].eq(False)]
answers = raw[(raw.variant == "finetuned-q2") & raw["sample"].isin(lost)]
print(answers[["sample", "subject", "gold", "picked"]].to_string(index=False))
