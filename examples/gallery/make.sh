#!/usr/bin/env bash
# Make all pictures of the README, the docs and the model's card again: examples/gallery/make.sh
# Needs sdloop with all extras and a few minutes. Everything has a seed, so the same model makes the
# same pictures. What the examples need comes first.
set -euo pipefail
cd "$(dirname "$0")/../.."
gallery=examples/gallery sketch=examples/sketch work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
new=(--overwrite --quiet)

# Pictures without labels side by side, each as it is: ROWS, the file, the pictures row by row.
rows() {
  python - "$@" <<'END'
import sys

from PIL import Image

count, file, *names = sys.argv[1:]
images = [Image.open(name).convert("RGB") for name in names]
across, (width, height) = len(images) // int(count), images[0].size
paper = Image.new("RGB", (across * width, int(count) * height))
for place, image in enumerate(images):
    paper.paste(image, (place % across * width, place // across * height))
paper.save(file, optimize=True)
END
}

# What examples begin with
sdloop txt2img "a brown rabbit in a park" --seed 4 -o $sketch/park.png --metadata none "${new[@]}"
python examples/penguin/draw.py 8 1 examples/penguin/pictures
python examples/penguin/draw.py 4 101 examples/penguin/held-out
sdloop train-embedding examples/penguin/pictures --held-out examples/penguin/held-out \
  --token "<my-penguin>" --init parrot --vectors 2 -o examples/penguin/my-penguin.safetensors "${new[@]}"
rm examples/penguin/my-penguin.training.safetensors  # what --resume would need

# The README and the card
sdloop txt2img "frogs on stilts" --seed 4 -o $gallery/frogs-on-stilts.png "${new[@]}"
python examples/train_mini/figures.py --out $gallery

python $sketch/draw_pose.py $sketch/pose.png

# Prompts
python examples/weigh_a_word.py "a (red:{}) and yellow house" $gallery/mini-weights.png
python examples/mix_prompts.py "a {}" rabbit frog $gallery/mini-mixing.png
words=("rabbit=rabbit" "rabbit=0.5*rabbit+0.5*frog" "rabbit=frog" "rabbit=frog - green + purple")
for number in 0 1 2 3; do
  sdloop txt2img "a rabbit in a park" --replace-token "${words[$number]}" --seed 1..6 \
    -o "$work/word-$number-{seed}.png" "${new[@]}"
done
rows 4 $gallery/mini-words.png "$work"/word-*.png
python examples/penguin/rows.py examples/penguin/my-penguin.safetensors examples/penguin/rows.png
python examples/train_lora.py 500 examples/lora/cyanotype.safetensors examples/lora/scales.png
sdloop txt2img "a park" --region "a frog=0,0,0.5,1" --region "a house=0.5,0,0.5,1" --size 256x128 -g 3 \
  --seed 1..8 -o "$work/region-{seed}.png" "${new[@]}"
rows 2 $gallery/regions.png "$work"/region-*.png
sdloop txt2img "a green frog in a park" --seed 1 -o "$work/edges.png" "${new[@]}"
sdloop txt2img "a green frog in a park" --seed 1 --seamless x -o "$work/seamless.png" "${new[@]}"
pairs=("$work/edges.png" "$work/edges.png" "$work/seamless.png" "$work/seamless.png")
rows 2 $gallery/seamless.png "${pairs[@]}" "${pairs[@]}"

# Guidance, samplers, losses
sdloop inspect noise "a red frog in a park" --seed 4 --steps 10 --columns guidance=cfg,threshold,apg,cfg-zero \
  --rows guidance_scale=1.5,3,6,12 -o $gallery/guidances.png "${new[@]}"
sdloop batch "a blue boat on a beach" "a green frog in a park" "a purple snail indoors" \
  "a red house at night" "three orange cats in the snow" --sweep scheduler=adam,rprop,ddim --steps 15 --seed 4 \
  --outdir "$work/optimisers" -q
sdloop sheet "$work/optimisers" --columns prompt --rows scheduler -o $gallery/optimisers.png "${new[@]}"
python examples/more_blue.py "a frog on a stage" 8 $gallery/more-blue.png

fast=(sdloop batch "a green frog in a park" --scheduler euler-a --seed 4 -q)
"${fast[@]}" --sweep reuse=1,2,3,5 -o "$work/reuse-{index}.png"
"${fast[@]}" --sweep steps=14,10,7 -o "$work/fewer-{index}.png"
rows 2 $gallery/reuse.png "$work"/reuse-*.png "$work"/reuse-0.png "$work"/fewer-*.png

# Commands
sdloop batch "a red frog" --seed 1..4 --sweep guidance_scale=1,2,4 --outdir "$work/red" -q
sdloop sheet "$work/red" --columns seed --rows guidance_scale -o $gallery/sheet.png "${new[@]}"
sdloop txt2img "a purple boat on stilts" --seed 1..12 --steps 6 -g 4 --outdir "$work/boats" -q
sdloop sheet "$work/boats" --rank clip -o $gallery/mini-ranked.png "${new[@]}"
frog="a green frog on stilts in a park"
sdloop inspect steps "$frog" --seed 7 -o $gallery/inspect-steps.png "${new[@]}"
sdloop inspect steps "$frog" --seed 7 -o $gallery/inspect-steps.gif "${new[@]}"
sdloop inspect noise "$frog" --seed 7 --columns steps=1,2,5,10,50 --rows guidance_scale=0,1,3,7.5,12 \
  -o $gallery/inspect-noise.png "${new[@]}"
sdloop inspect prompt "a red frog under a tree" --seed 4 -o $gallery/inspect-words.png "${new[@]}"
sdloop inspect latents $sketch/park.png -o $gallery/inspect-latents.png "${new[@]}"
sdloop txt2img "a red house in a forest" --seed 4 -o "$work/house-1.png" "${new[@]}"
sdloop txt2img "a red house in a forest" --hires 2 --seed 4 -o "$work/large-3.png" "${new[@]}"
python - "$work" <<'END'
import sys

from PIL import Image

house = Image.open(f"{sys.argv[1]}/house-1.png")
for number, how in enumerate((Image.Resampling.NEAREST, Image.Resampling.LANCZOS), start=1):
    house.resize((256, 256), how).save(f"{sys.argv[1]}/large-{number}.png")
END
rows 1 $gallery/mini-larger.png "$work"/large-*.png
for kind in canny soft-edge lineart grey; do
  sdloop inspect control $sketch/rabbit.png --preprocess $kind -o "$work/map-$kind.png" "${new[@]}"
done
rows 1 $sketch/maps.png $sketch/rabbit.png "$work"/map-{canny,soft-edge,lineart,grey}.png
python examples/sketch/draw_frog.py $sketch/frog.png
python examples/four_from_a_sketch.py $sketch/frog.png $sketch/four-frogs.png
python examples/sketch_strengths.py $sketch/rabbit.png "a brown rabbit in a park" $sketch/strengths.png
python examples/paint_within_mask.py $sketch/park.png $sketch/mask.png $sketch/painted.png
python examples/hopping_sketch.py "a wooden carving of a rabbit" $sketch/hop.gif  # and the sketch itself
sdloop animate $sketch/hop-sketch.gif "a wooden carving of a rabbit" --strength 0.3 --carry 0.3 --seed 4 \
  -o $sketch/hop.gif "${new[@]}"
sdloop outpaint $sketch/park.png "a tree in a park" --left 128 --right 128 --seed 1 \
  -o "$work/grown-1.png" "${new[@]}"
sdloop txt2img "a red house at night" --seed 101 -o "$work/house.png" "${new[@]}"
sdloop outpaint "$work/house.png" "a red house at night" --left 128 --right 128 --seed 2 \
  -o "$work/grown-2.png" "${new[@]}"
rows 2 $sketch/grown.png "$work"/grown-*.png
