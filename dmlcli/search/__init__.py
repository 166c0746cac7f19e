"""The steps of a query.

query_inputs      what can be searched with: photos, vectors, indexed images and products
photo_inputs      photos from paths, folders, lists and stdin, as they come
encoding          photos to vectors, in batches and threads
query_engine      vectors to answers: search, grouping, re-ranking, --min-score
product_grouping  hits that are products
item_lookup       what the ids of hits show
rerank            query expansion, database augmentation, k-reciprocal
calibration       --max-false-accepts of a model without probabilities
confidence        probabilities of answers, fitted in cross-validation
cropping          photos to the vectors of their crops; crop_boxes proposes, crop_choice chooses
match_map         where a photo resembles an embedding; from pooled_maps and head_weights
match_explainer   a query and a hit, with their match maps
stream            many queries, answered in their order
"""
